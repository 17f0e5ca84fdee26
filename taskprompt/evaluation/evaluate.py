"""Evaluation: metrics of every learned task on the held-out sources that give its label, and a trivial predictor's."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskprompt.core.errors import WriteError
from taskprompt.core.events import Evaluating
from taskprompt.core.files import ELSEWHERE, write
from taskprompt.core.metrics import Metric
from taskprompt.core.model import MultiTaskModel
from taskprompt.core.task import Task
from taskprompt.core.types import Batch
from taskprompt.data.batch import collate, reads_clip, without_pixels
from taskprompt.data.reader import Reader, make_reader
from taskprompt.data.stream import Stream
from taskprompt.distributed import collective
from taskprompt.distributed.context import WorkerContext
from taskprompt.evaluation.load import load_model
from taskprompt.nn.compiled import compiler_told
from taskprompt.nn.precision import autocast
from taskprompt.recipe.recipe import Recipe
from taskprompt.runs.run import Run

BATCH = 16  # rows at once, where a video has no more; changes memory, not results
TRIVIAL = 256  # training targets that the trivial predictor is fitted to

Table = dict[str, dict[str, dict[str, float]]]  # source -> task -> metric -> value


def held_out_readers(recipe: Recipe, test_clips: int = 1) -> dict[str, Reader]:
    """A reader per held-out source: listed order, no augmentation, the middle of each video or several test clips."""
    return {n: make_reader(recipe, n, s, False, test_clips) for n, s in recipe.held_out.items()}


def open_held_out(reader: Reader, context: WorkerContext, max_skipped: float) -> Stream:
    """This worker's share of a held-out source, each clip once."""
    count = len(range(context.rank, len(reader), context.workers))
    chunks = context.chunks(reader, context.rank, context.workers, count)
    return Stream(reader.name, chunks, context.rank, context.workers, len(reader), max_skipped)


def held_out_batches(stream: Stream, reader: Reader) -> Iterator[tuple[int, Batch]]:
    """The stream's clips as batches, to its end; how many clips each is of, for views are rows too."""
    rows_a_video = sum(reader.views.values()) + reads_clip(reader.tasks, reader.views)
    while (columns := stream.take(max(1, BATCH // rows_a_video))) is not None:
        yield len(columns["key"]), collate([columns], reader.tasks)


@torch.inference_mode()
def measure(model: MultiTaskModel, recipe: Recipe, readers: Mapping[str, Reader], context: WorkerContext) -> Table:
    """source -> task -> metric -> value over all workers. Leaves the model in eval mode."""
    model.eval()
    table: Table = {}
    for name, reader in readers.items():
        meters = {n: t.meter().to(context.device) for n, t in reader.tasks.items()}
        stream = open_held_out(reader, context, recipe.max_skipped)
        for task, output, target in predictions(model, recipe, reader, stream, context):
            meters[task].update(output, target)
        table[name] = {n: compute(m) for n, m in meters.items()}
    return table


def predictions(
    model: MultiTaskModel, recipe: Recipe, reader: Reader, stream: Stream, context: WorkerContext
) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
    """task, output, target of the rows that carry its label, batch by batch; tells how far it is.

    The outputs for several test clips of a video are merged."""
    for clips, batch in held_out_batches(stream, reader):
        for task, output in predict_batch(model, batch.to(context.device), recipe.runtime.precision).items():
            target = {k: v.to(context.device) for k, v in batch.targets[task].items()}
            if (spec := reader.tasks[task]).labelled and (count := reader.views.get(task)):
                output = spec.merge(output.unflatten(0, (-1, count)).transpose(0, 1))
                target = {k: v[::count] for k, v in target.items()}
            yield task, output, target
        context.notify(Evaluating(reader.name, clips, len(reader)))


def predict_batch(model: MultiTaskModel, batch: Batch, precision: str) -> dict[str, Tensor]:
    """task -> output of the rows that carry its label, float32; tasks without such rows are left out."""
    rows = {n: r for n, r in batch.rows.items() if len(r)}
    if not rows:
        return {}
    with autocast(batch.video.device, precision), compiler_told():
        outputs = model(batch.video, rows, batch.inputs)
    return {n: o.float() for n, o in outputs.items()}


def compute(meter) -> dict[str, float]:
    """What a meter, a torchmetrics Metric, measured over all workers, as plain numbers."""
    from taskprompt.core.meters import Means  # torchmetrics takes seconds to load

    if isinstance(meter, Means):
        for names in collective.gather(meter.names):
            meter.expect(names)
    return {k: float(v) for k, v in meter.compute().items()}


@torch.inference_mode()
def evaluate(run: Run, context: WorkerContext) -> dict[str, Any]:
    """Measure a run's weights on all its held-out sources: what evaluation.json holds, the same on every worker.

    test_clips: of each video, for the tasks that are `of_video`. For every source and task: clips, metrics, what each
    is (Metric, without its name), the 95 % interval of those that are means over clips, and the metrics of the trivial
    predictor (Task.trivial, fitted to training targets)."""
    recipe = run.recipe
    model = load_model(run, context.device)
    constants = trivial_outputs(recipe, context)
    clips_a_video = recipe.test.clips
    result: dict[str, Any] = {"checkpoint": run.checkpoint().name, "test_clips": clips_a_video, "sources": {}}
    for name, reader in held_out_readers(recipe, clips_a_video).items():
        meters = {n: (t.meter().to(context.device), t.meter().to(context.device)) for n, t in reader.tasks.items()}
        values: dict[str, dict[str, list[float]]] = {n: {} for n in reader.tasks}
        clips = dict.fromkeys(reader.tasks, 0)
        stream = open_held_out(reader, context, recipe.max_skipped)
        for task, output, target in predictions(model, recipe, reader, stream, context):
            meters[task][0].update(output, target)
            if task in constants:
                meters[task][1].update(constants[task].expand_as(output).contiguous(), target)
            for metric, value in reader.tasks[task].metrics(output, target).items():
                values[task].setdefault(metric, []).extend(value.tolist())
            clips[task] += len(output)
        skipped = collective.gather(stream.skipped)
        result["sources"][name] = {
            "rows": len(reader),
            "skipped": {k: v for part in skipped for k, v in part.items()},
            "tasks": {
                n: task_report(n, reader.tasks[n], meters[n], values[n], clips[n], n in constants) for n in reader.tasks
            },
        }
    return result


def write_evaluation(result: Mapping[str, Any], folder: Path) -> None:
    """Write evaluation.json. Raises WriteError, with what was measured as its `result`."""
    try:
        write(folder / "evaluation.json", json.dumps(result, indent=1), ELSEWHERE)
    except WriteError as error:
        error.result = result
        raise


def task_report(name: str, task: Task, meters, values, clips: int, has_trivial: bool) -> dict[str, Any]:
    """The numbers of one task on one source, over all workers."""
    everyone = collective.gather((clips, values))
    total = sum(c for c, _ in everyone)
    if total == 0:
        return {"kind": type(task).__name__, "clips": 0}
    joined: dict[str, list[float]] = {}
    for _, part in everyone:
        for metric, numbers in part.items():
            joined.setdefault(metric, []).extend(numbers)
    measured = compute(meters[0])
    metrics = {m: task.metric(m) for m in measured}
    means = {m: v for m, v in joined.items() if m in metrics and is_mean(metrics[m], v, measured[m])}
    return {
        "kind": type(task).__name__,
        "clips": total,
        "metrics": measured,
        "measures": {m: metric.record() for m, metric in metrics.items()},
        "interval": {m: interval(np.asarray(v)) for m, v in means.items()},
        "trivial": compute(meters[1]) if has_trivial else {},
        "trivial_name": task.trivial_name,
    }


def is_mean(metric: Metric, values: list[float], measured: float) -> bool:
    """Is a meter's number the mean over clips, so that the interval of that mean is its interval?

    One over "clip" is. One over "set" is where all clips weigh the same: AbsRel, if each has as many known pixels."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return False
    return metric.over == "clip" or math.isclose(sum(finite) / len(finite), measured, rel_tol=1e-4, abs_tol=1e-6)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean over clips: Wilson's for shares (all 0 or 1), normal otherwise; NaN left out."""
    values = values[np.isfinite(values)]
    n = len(values)
    if n == 0:
        return math.nan, math.nan
    mean, z = float(values.mean()), 1.959964
    if np.isin(values, (0, 1)).all():
        centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
        return centre - half, centre + half
    half = z * float(values.std(ddof=1 if n > 1 else 0)) / math.sqrt(n)
    return mean - half, mean + half


def trivial_outputs(recipe: Recipe, context: WorkerContext) -> dict[str, Tensor]:
    """task -> the constant output fitted to the first training targets, without augmentation; same on every worker."""
    constants: dict[str, Tensor] = {}
    for name, source in recipe.sources.items():
        wanted = {n: t for n, t in recipe.measured(name, source).items() if n not in constants}
        if not wanted:
            continue
        reader = make_reader(recipe, name, source, training=False)
        count = min(len(reader), TRIVIAL)
        stride = len(reader) // count  # spread over the listing, which may be sorted by class
        stream = Stream(name, context.chunks(reader, 0, stride, count), 0, stride, len(reader), recipe.max_skipped)
        columns = stream.take(count)
        if columns is None:
            continue
        batch = collate([without_pixels(columns)], wanted)
        for task in wanted:
            constant = wanted[task].trivial(batch.targets[task]) if len(batch.rows[task]) else None
            if constant is not None:
                constants[task] = constant.to(context.device)
    return constants
