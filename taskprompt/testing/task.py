"""check_task: what every task promises, on labels that you give it."""

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from taskprompt.core.task import Task
from taskprompt.core.types import Batch, Clip, Dims, Features, Sample
from taskprompt.data.batch import collate, prepare
from taskprompt.testing.label_free import label_free_batch
from taskprompt.testing.measured import Target, check_measures, check_merge, check_meter, close, measured, noise, select

NAME = "task"  # what the task is called where a name is needed


def check_task(task: Task, dims: Dims, *labels: Any, inputs: Sequence[Mapping[str, Any]] = ()) -> None:
    """Check a task on labels of clips with the frames, height and width of `dims`; two that differ see more than one.

    A label-free task takes no labels: it is checked on clips of noise, or on the views that it cuts from them.
    inputs: for a task that declares `inputs`, the labels that they are read from, by name; one mapping a label.

    Raises AssertionError with the promise that is broken, or what the task itself raises."""
    _check_spec(task)
    if not task.labelled:
        assert not labels, "the task is not `labelled`, so give check_task no labels"
        if not task.input_labels():
            _check_model(task, dims, *label_free_batch(NAME, task, dims))
            return
        labels = (None,) * len(inputs)
    assert labels, "give check_task at least one label"
    needed = task.input_labels()
    assert needed or not inputs, "the task names no `input_labels`, so leave `inputs` out"
    others = list(inputs) if needed else [{} for _ in labels]
    assert len(others) == len(labels), f"give check_task `inputs`: {', '.join(needed)} for each of {len(labels)} labels"
    pairs = [*zip(labels, others, strict=True), (labels[0], others[0])]
    samples = [_sample(task, dims, i, label, more) for i, (label, more) in enumerate(pairs)]
    _check_model(task, dims, _check_batch(task, dims, samples), samples[0])


def _check_model(task: Task, dims: Dims, batch: Batch, sample: Sample) -> None:
    """Head, loss, metrics and pictures on a batch whose first row shows `sample`."""
    target = batch.targets[NAME]
    output = _check_head(task, dims, batch)
    _check_loss(task, output, target)
    others = [output, *_constants(task, output, target), *(noise(output, seed) for seed in range(3))]
    _check_metrics(task, others, target)
    _check_perfect(task, others, target)
    check_meter(task, output, target)
    check_merge(task, output, target)
    check_measures(task, others, target)
    _check_shown(task, output, target, sample)


def random_features(dims: Dims, count: int, seed: int = 0) -> Features:
    """Features of `count` samples as a backbone of these sizes would give them, drawn from a normal."""
    draw = torch.Generator().manual_seed(seed)
    levels = tuple(torch.randn(count, *size, generator=draw) for size in dims.levels)
    patches = torch.randn(count, *dims.grid, dims.dim, generator=draw)
    return Features(torch.randn(count, dims.dim, generator=draw), patches, {}, levels)


def _check_spec(task: Task) -> None:
    again = Task.model_validate(json.loads(json.dumps(task.model_dump(mode="json"))))
    assert again == task, f"the spec changes on its way through JSON: {task} became {again}"
    pickle.dumps(task)  # raises where it cannot be sent to a worker


def _sample(task: Task, dims: Dims, seed: int, label: Any, more: Mapping[str, Any]) -> Sample:
    shape = (dims.frames, dims.height, dims.width, 3)
    video = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    labels = {task.label_name(NAME): label, **more} if task.labelled else {**more}
    return Sample(f"sample-{seed}", Clip(video, np.arange(dims.frames) / 8), labels)


def _check_batch(task: Task, dims: Dims, samples: list[Sample]) -> Batch:
    """All samples as a batch would hold them, and one without labels, which has no row."""
    bare = Sample("bare", samples[0].clip, {})
    lacking = None in (task.checked_target(NAME, bare, dims), task.checked_inputs(NAME, bare, dims))
    assert lacking, "a sample without the label has a target"
    for sample in samples:
        unlabelled = {n: v for n, v in sample.labels.items() if n in task.input_labels()}
        read = task.checked_inputs(NAME, Sample(sample.key, sample.clip, unlabelled), dims)
        assert read is not None, f"a sample lacks a label of {task.input_labels()}, which `inputs` has to give"
    rows = [prepare(s, {NAME: task}, dims) for s in [*samples, bare]]
    for key in rows[0]:
        kinds = {(row[key].shape, row[key].dtype) for row in rows if key != "key"}
        assert len(kinds) < 2, f"{key} has several shapes or types: {kinds}; one schema must hold all rows"
    batch = collate([{k: np.stack([r[k] for r in rows]) for k in rows[0]}], {NAME: task})
    assert batch.rows[NAME].tolist() == list(range(len(samples))), "rows must be those that have the label"
    return batch


def _check_head(task: Task, dims: Dims, batch: Batch) -> Tensor:
    """The head's output, m ..., with a prompt; it must work without, and all its weights must learn in both cases."""
    target, count = batch.targets[NAME], len(batch.rows[NAME])
    head = task.head(dims).eval()
    features = random_features(dims, count)
    prompt = torch.randn(count, max(1, task.prompts), dims.dim, generator=torch.Generator().manual_seed(1))
    inputs = [batch.inputs[NAME]] if task.inputs else []
    outputs = [head(prompt, features, *inputs), head(None, features, *inputs)]
    for output, case in zip(outputs, ("with a prompt", "without a prompt"), strict=True):
        assert output.shape[0] == count, f"{case}: the output is {tuple(output.shape)}, expected {count} samples first"
        head.zero_grad()
        task.loss(output, target).sum().backward()
        for name, weight in head.named_parameters():
            assert weight.grad is not None, f"{case}: the loss does not reach the head's {name}"
            assert weight.grad.isfinite().all(), f"{case}: the gradient of the head's {name} is not finite"
    assert outputs[0].shape == outputs[1].shape, "the output's shape depends on whether there is a prompt"
    assert any(w.grad is not None and w.grad.any() for w in head.parameters()), "no gradient reaches the head at all"
    first = features.select(torch.tensor([0]))
    alone = head(prompt[:1], first, *(select(x, torch.tensor([0])) for x in inputs))
    assert torch.allclose(alone, outputs[0][:1], atol=1e-4), "a sample's output depends on the other samples"
    if inputs:
        _check_zero_inputs(head, prompt[:1], first, {k: torch.zeros_like(v[:1]) for k, v in inputs[0].items()})
    return outputs[0].detach()


def _check_zero_inputs(head: nn.Module, prompt: Tensor, features: Features, zeros: Target) -> None:
    """A batch without a row for the task runs its head on these."""
    head.zero_grad()
    output = head(prompt, features, zeros)
    output.sum().backward()
    gradients = [w.grad for w in head.parameters() if w.grad is not None]
    finite = output.isfinite().all() and all(g.isfinite().all() for g in gradients)
    assert finite, "inputs of zeros, as a batch without this task has, give an output or gradient that is not finite"


def _check_loss(task: Task, output: Tensor, target: Target) -> None:
    loss = task.loss(output, target)
    assert loss.shape == (len(output),), f"loss has shape {tuple(loss.shape)}, expected ({len(output)},): one a sample"
    assert loss.isfinite().all(), f"loss is not finite: {loss.tolist()}"
    _check_apart(lambda o, t: {"loss": task.loss(o, t)}, output, target, alone=not task.needs_global_batch)


def _check_metrics(task: Task, outputs: list[Tensor], target: Target) -> None:
    for output in outputs:
        for name, value in task.metrics(output, target).items():
            assert value.shape == (len(output),), f"metric {name} has shape {tuple(value.shape)}, expected one a sample"
            assert not value.isinf().any(), f"metric {name} is infinite"
        _check_apart(task.metrics, output, target)


def _check_apart(
    figures: Callable[[Tensor, Target], Target], output: Tensor, target: Target, alone: bool = True
) -> None:
    """Each sample's figures are its own: the same in another order, and, unless they compare samples, alone."""
    whole = figures(output, target)
    turned = torch.arange(len(output) - 1, -1, -1)
    other = figures(output[turned], select(target, turned))
    for name, value in whole.items():
        assert close(other[name], value[turned]), f"{name} changes with the order of the samples"
    each = [figures(output[i : i + 1], select(target, torch.tensor([i]))) for i in range(len(output))] if alone else []
    for name, value in whole.items() if alone else ():
        assert close(torch.cat([a[name] for a in each]), value), f"{name} of a sample depends on the other samples"


def _constants(task: Task, output: Tensor, target: Target) -> list[Tensor]:
    """The trivial output for all m samples, if the task has one."""
    trivial = task.trivial(target)
    if trivial is None:
        return []
    assert trivial.shape == (1, *output.shape[1:]), (
        f"trivial has shape {tuple(trivial.shape)}, expected 1 and an output"
    )
    assert trivial.isfinite().all(), "trivial is not finite"
    return [trivial.expand_as(output)]


def _check_perfect(task: Task, others: list[Tensor], target: Target) -> None:
    """No other output has a lower loss, and every metric of every other lies on the worse side of the perfect one's.

    Which side that is, `measures` says; of a metric that it does not name, all have to lie on one side. What the meter
    gives for all samples is held to the same, where `measures` names it."""
    perfect = task.perfect(target)
    if perfect is None:
        return
    assert perfect.shape == others[0].shape, f"perfect has shape {tuple(perfect.shape)}, not {tuple(others[0].shape)}"
    best = task.loss(perfect, target)
    for other in others:
        assert (task.loss(other, target) >= best - 1e-4).all(), "another output has a lower loss than the perfect one"
    declared, each, whole = task.declared(), task.metrics(perfect, target), measured(task, perfect, target)
    checked = [(task.metrics, n, v) for n, v in each.items() if n not in declared or declared[n].better]
    checked += [(partial(measured, task), n, v) for n, v in whole.items() if n in declared and declared[n].better]
    for figures, name, value in checked:
        gaps = torch.stack([figures(o, target)[name] - value for o in others]).nan_to_num()
        sides = {"min": (gaps >= -1e-4).all(), "max": (gaps <= 1e-4).all()}
        way = task.metric(name).better
        assert sides[way] if way else any(sides.values()), f"{name} of another output is better than the perfect one's"


def _check_shown(task: Task, output: Tensor, target: Target, sample: Sample) -> None:
    perfect = task.perfect(target)
    for one in (output[0], *(() if perfect is None else (perfect[0],))):
        picture = task.picture(one, sample.clip.video)
        if picture is not None:
            assert picture.dtype == np.uint8, f"the picture is {picture.dtype}, expected uint8"
            assert picture.ndim == 4, f"the picture has shape {picture.shape}, expected t h w 3"
            assert picture.shape[::3] == (len(sample.clip.video), 3), f"the picture has shape {picture.shape}"
    json.dumps(task.answer(output[0]), allow_nan=False)
