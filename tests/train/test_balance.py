"""What a balance is told, what becomes of its answer, and that its state lives as long as the run."""

import pytest
import torch
from balances import Counting, Learning, Wrong

import taskprompt as tp
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import validate
from taskprompt.runs import checkpoint
from taskprompt.testing import check_balancer
from taskprompt.train.passes import trained

PLAIN = {"optimizer": "sgd", "betas": [0.0, 0.0], "weight_decay": 0.0, "clip_norm": None, "lr": 0.01}


def fit(data, out, **options):
    watch = options.pop("watch", lambda event: None)
    return tp.fit(validate(data, "r", tp.Recipe), out, cluster=None, watch=watch, **options)


def group(run, name):
    return checkpoint.read_tensors(run.checkpoint(), name)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_own_parameters_get_the_losses_as_gradients(squares, tmp_path, accumulate):
    """Weights exp(s) and the loss 3 (1 + s): one step from s = 0 at rate 0.01 gives -0.01 (loss + 3); the total has
    3 x 2 more."""
    squares |= {"balancer": {"kind": "balances:Learning"}, "stages": [{**PLAIN, "steps": 1, "accumulate": accumulate}]}
    run = fit(squares, tmp_path / "run")
    (line,) = run.lines("metrics.jsonl")
    losses = torch.tensor([line["loss/action"], line["loss/depth"]])
    assert torch.allclose(group(run, "balance")["scale"], -0.01 * (losses + 3))
    assert line["loss"] == pytest.approx(float(losses.sum()) + 6, abs=1e-5)


@pytest.mark.parametrize("stage", [{}, {"accumulate": 2, "mixup": 0.5}])
@pytest.mark.parametrize("answer", [{"parts": ["encoder", "prompter"]}, {"weigh": True}])
def test_the_sum_of_the_gradients_is_the_gradient_of_the_sum(squares, tmp_path, stage, answer):
    """With dropout: passes that are made twice draw the same."""
    squares["runtime"]["checkpointing"] = "parts" in answer
    squares["stages"] = [{**PLAIN, "steps": 2, "lr": 0.1, **stage}]
    plain = fit(squares, tmp_path / "plain")
    summed = fit(squares | {"balancer": {"kind": "balances:Summing", **answer}}, tmp_path / "summed")
    assert [r["grad_norm"] for r in summed.lines("metrics.jsonl")] == pytest.approx(
        [r["grad_norm"] for r in plain.lines("metrics.jsonl")], rel=1e-5
    )
    a, b = group(plain, "model"), group(summed, "model")
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-6


def test_the_joined_gradient_is_that_of_its_part_alone(squares, tmp_path):
    """Twice the sum for the last block: it moves twice as far in the first step, and all others as far."""
    squares["stages"] = [{**PLAIN, "steps": 1}]
    before = build_model(validate(squares, "r", tp.Recipe)).state_dict()
    plain = group(fit(squares, tmp_path / "plain"), "model")
    squares["balancer"] = {"kind": "balances:Summing", "parts": ["encoder.blocks.-1"], "scale": 2.0}
    doubled = group(fit(squares, tmp_path / "doubled"), "model")
    assert any(k.startswith("encoder.blocks.1.") for k in before)
    for name, value in before.items():
        times = 2 if name.startswith("encoder.blocks.1.") else 1
        assert torch.allclose(doubled[name] - value, times * (plain[name] - value), atol=1e-6), name


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_losses_of_a_step_are_known_in_it(squares, tmp_path, accumulate):
    squares |= {"balancer": {"kind": "balances:Looking"}, "stages": [{"steps": 3, "accumulate": accumulate}]}
    run = fit(squares, tmp_path / "run")
    last = run.lines("metrics.jsonl")[-1]
    assert group(run, "balance")["seen"].tolist() == pytest.approx([last["loss/action"], last["loss/depth"]], rel=1e-6)


def test_its_state_is_kept_over_stages_and_resumed(squares, tmp_path):
    """It counts 3 + 5 steps, and a run that was killed at the seventh ends with the same weights."""
    squares |= {"balancer": {"kind": "balances:Counting"}, "save_every": 2}
    squares["stages"] = [{"steps": 3}, {"steps": 5, "freeze": ["encoder"], "accumulate": 2}]
    whole = fit(squares, tmp_path / "whole")
    lines, state = whole.lines("metrics.jsonl"), group(whole, "balance")
    assert state["steps"] == 8
    known = [[lines[i][f"loss/{n}"] for n in ("action", "depth")] for i in (0, -1)]
    assert state["_extra_state"].tolist() == known
    for cut, saved in ((7, "step-00000006"), (4, "step-00000003")):  # within a stage, and at the border of two

        def stop(event, cut=cut):
            if isinstance(event, tp.events.Step) and event.step == cut:
                raise KeyboardInterrupt

        out = tmp_path / f"cut-{cut}"
        with pytest.raises(KeyboardInterrupt):
            fit(squares, out, watch=stop)
        assert checkpoint.latest(out / "checkpoints").name == saved  # type: ignore[union-attr]
        resumed = fit(squares, out, resume=True)
        assert [r["loss"] for r in resumed.lines("metrics.jsonl")] == [r["loss"] for r in lines]
        for name in ("model", "balance"):
            a, b = group(whole, name), group(resumed, name)
            assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_task_without_labels_is_absent(squares, tmp_path):
    """No clip says which side it moves to: its loss was never seen, and the weights are those of depth alone."""
    squares["sources"]["labelled"]["nobody"] = True
    squares |= {"balancer": {"kind": "balances:Counting"}, "stages": [{"steps": 2}]}
    run = fit(squares, tmp_path / "run")
    first, last = group(run, "balance")["_extra_state"].tolist()
    assert first[0] != first[0]
    assert last[1] == run.lines("metrics.jsonl")[-1]["loss/depth"]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("nothing", tp.LayoutError, r"step 1: Answers\.step returned NoneType, expected LossWeights or Joined"),
        ("missing", tp.LayoutError, r"returned weights for depth, expected action, depth: return one for every"),
        ("vector", tp.LayoutError, r"the weight of 'action' has shape \(2,\), expected a scalar"),
        ("unasked", tp.LayoutError, r"a gradient for 'encoder'; it asked for none\. Call step\.gradients"),
        ("short", tp.LayoutError, r"the gradient for 'encoder' has shape \(3,\), expected \(\d+,\)"),
        ("raises", tp.TaskError, r"step 1: balancer: KeyError: 'key'\. Correct Answers\.step"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(squares, tmp_path, how, error, message):
    squares["balancer"] = {"kind": "balances:Wrong", "how": how}
    with pytest.raises(error, match=message):
        fit(squares, tmp_path / "run")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("encoder.block", {}, "no part 'encoder.block': 'block' is not one of .*blocks"),
        ("encoder.blocks.2", {}, "'2' is not one of 0, 1"),
        ("encoder", {"stages": [{"steps": 2, "freeze": ["encoder"]}]}, "this stage trains no parameters of 'encoder'"),
        ("encoder", {"runtime": {"precision": "fp32", "compile": True}}, "runtime.compile"),
    ],
)
def test_gradients_that_cannot_be_had(squares, tmp_path, part, change, message):
    squares["balancer"] = {"kind": "balances:Summing", "parts": [part]}
    with pytest.raises(tp.SpecError, match=message):
        fit(squares | change, tmp_path / "run")


def test_parts_that_overlap_are_refused(squares, tmp_path):
    squares["balancer"] = {"kind": "balances:Summing", "parts": ["encoder", "encoder.blocks.-1"]}
    with pytest.raises(
        tp.LayoutError, match=r"gradients for encoder, encoder\.blocks\.-1, which have parameters in common"
    ):
        fit(squares, tmp_path / "run")


def test_parts_by_their_path(squares):
    model = build_model(validate(squares, "r", tp.Recipe))
    blocks = model.get_submodule("encoder.blocks")
    assert isinstance(blocks, torch.nn.ModuleList)
    for path, module in (("encoder", model.encoder), ("encoder.blocks.-1", blocks[1]), ("encoder.blocks.0", blocks[0])):
        assert [id(p) for p in trained(model, path)] == [id(p) for p in module.parameters()]
    blocks[1].requires_grad_(False)
    assert len(trained(model, "encoder.blocks")) == len(list(blocks[0].parameters()))


def test_the_check_passes_what_keeps_the_promises():
    for balancer in (Counting(), Learning()):
        check_balancer(balancer)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("negative", "the weight of 'a' is -1, below zero"),
        ("global", r"two workers get different results\. Draw from step\.generator"),
        ("forgets", r"another result after resuming\. Keep state in a buffer"),
        ("uphill", "is the only task, and the gradient for 'encoder' increases its loss"),
    ],
)
def test_the_check_names_the_promise_that_is_broken(how, message):
    with pytest.raises(AssertionError, match=message):
        check_balancer(Wrong(how=how))
