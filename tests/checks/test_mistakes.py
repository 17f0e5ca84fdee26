"""A user's task that fails: the message names step, task and clip; a batch that made no number is kept."""

import pytest
import torch

import taskprompt as tp
from taskprompt.recipe.files import validate
from taskprompt.runs.run import Run


def run(data, out, **options):
    return tp.fit(validate(data, "r", tp.Recipe), out, cluster=None, watch=lambda record: None, **options)


def faulty(squares, fails, **more):
    squares["tasks"]["depth"] |= {"kind": "faulty:Faulty", "label": "depth", "fails": fails, **more}
    return squares


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (
            "target",
            r"step [1-5]: task 'depth', clip 'squares/3': KeyError: 'thickness'\. Fix Faulty\.target, or raise",
        ),
        (
            "head",
            r"step 1: task 'depth': RuntimeError: .* Fix the module that its `head` builds, Broken\. Met on clips 'sq",
        ),
        ("loss", r"step 1: task 'depth', clips 'squares/\d', 'squares/\d': RuntimeError: .* Fix Faulty\.loss\."),
        ("nan", r"step 1: the loss of task 'depth' for clip.* 'squares/\d'.* is not a finite number; no weights were"),
    ],
)
def test_the_message_names_step_task_and_clip(squares, tmp_path, fails, message):
    with pytest.raises(tp.TaskError, match=message):
        run(faulty(squares, fails), tmp_path / "run")


def test_steps_are_counted_over_stages(squares, tmp_path):
    squares["stages"] = [{"steps": 3, "tasks": ["action"]}, {"steps": 3}]
    with pytest.raises(tp.TaskError, match=r"step 4: task 'depth'"):
        run(faulty(squares, "loss"), tmp_path / "run")


def test_a_batch_that_made_no_number_is_kept(squares, tmp_path):
    with pytest.raises(
        tp.TaskError, match=r"The batch is saved; read it with taskprompt.load_batch: .*worker-0-0\.safetensors"
    ):
        run(faulty(squares, "nan"), tmp_path / "run")
    (file,) = (tmp_path / "run" / "not_finite").iterdir()
    batch = tp.load_batch(file)
    assert len(batch.keys) == 6
    assert batch.video.shape == (6, 4, 32, 32, 3)
    assert batch.video.dtype == torch.uint8
    assert batch.rows["depth"].tolist() == [4, 5]
    assert batch.targets["depth"]["depth"].shape[0] == 2
    assert Run.open(tmp_path / "run").lines("metrics.jsonl") == []  # the step did not happen


def test_the_best_checkpoint_stays(squares, tmp_path):
    squares |= {"evaluate_every": 1, "keep": 1, "best": {"metric": "test/depth/RMSE_m", "mode": "min"}}
    squares["stages"] = [{"steps": 12, "lr": 3e-3}, {"steps": 3, "lr": 1.0, "clip_norm": None}]  # learns, then forgets
    done = run(squares, tmp_path / "run")
    scores = {r["step"]: r["test/depth/RMSE_m"] for r in done.lines("held_out.jsonl")}
    best = min(scores, key=lambda s: scores[s])
    assert best < 15
    kept = sorted(p.name for p in done.checkpoints.iterdir())
    assert kept == [f"step-{best:08d}", "step-00000015"]
    found = tp.evaluate(done, checkpoint="best", watch=lambda r: None)
    assert found["checkpoint"] == f"step-{best:08d}"
    assert found["sources"]["test"]["tasks"]["depth"]["metrics"]["RMSE_m"] == pytest.approx(scores[best], rel=1e-5)
    named = tp.evaluate(done, checkpoint="step-00000015", watch=lambda r: None)
    assert named["sources"]["test"]["tasks"]["depth"]["metrics"]["RMSE_m"] == pytest.approx(scores[15], rel=1e-5)
    with pytest.raises(tp.CheckpointError, match=rf"no checkpoint 'step-1'\. Known: last, best, step-{best:08d}, step"):
        tp.evaluate(done, checkpoint="step-1", watch=lambda r: None)


def test_a_best_that_cannot_be(squares, tmp_path):
    for metric, message in (
        ("top1", "expected source/task/metric"),
        ("tets/action/top1", "'tets' is not held out. Did you mean 'test'?"),
        ("test/boxes/IoU", "'boxes' is not measured on 'test'. Measured there: action, depth."),
    ):
        with pytest.raises(tp.RecipeError, match=message.replace("?", r"\?")):
            validate(squares | {"best": {"metric": metric}}, "r", tp.Recipe)
    squares |= {"evaluate_every": 2, "best": {"metric": "test/action/top2"}}
    with pytest.raises(tp.TaskPromptError, match=r"measures no 'top2'\. Did you mean 'test/action/top1'\?"):
        run(squares, tmp_path / "run")
    squares.pop("best")
    plain = run(squares, tmp_path / "plain")
    with pytest.raises(tp.CheckpointError, match=r"has no best checkpoint\. Set `best`"):
        tp.evaluate(plain, checkpoint="best", watch=lambda r: None)
