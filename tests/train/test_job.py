"""The whole job in one process: it learns, resumes exactly, skips what is broken, and says what is wrong."""

import json

import pytest
import torch

import taskprompt as tp
from taskprompt.recipe.files import validate
from taskprompt.runs import checkpoint
from taskprompt.runs.lock import locked


def run(data, out, **options):
    return tp.fit(
        validate(data, "r", tp.Recipe), out, cluster=None, watch=options.pop("watch", lambda record: None), **options
    )


def weights(run):
    return checkpoint.read_tensors(run.checkpoint(), "model")


def test_it_learns_both_tasks_and_beats_the_trivial_predictor(squares, tmp_path):
    squares["augment"] = {"scale": [1, 1]}
    squares["stages"] = [{"steps": 120, "lr": 3e-3, "warmup": 5, "ema": 0.9}]
    done = run(squares, tmp_path / "run")
    first, last = done.lines("metrics.jsonl")[0], done.lines("metrics.jsonl")[-1]
    assert last["step"] == 120
    assert last["loss/depth"] < 0.3 * first["loss/depth"]
    found = tp.evaluate(done, watch=lambda r: None)["sources"]["test"]["tasks"]
    assert found["action"]["metrics"]["top1"] == 1.0
    assert found["action"]["trivial"]["top1"] == 0.5
    assert found["action"]["clips"] == 6
    assert found["action"]["interval"]["top1"][0] == pytest.approx(6 / (6 + 1.959964**2))  # Wilson, six of six
    assert found["depth"]["metrics"]["RMSE_m"] < found["depth"]["trivial"]["RMSE_m"]


def test_a_resumed_run_ends_with_the_same_weights(squares, tmp_path):
    squares["stages"] = [{"steps": 3, "ema": 0.5}, {"steps": 5, "freeze": ["encoder"], "accumulate": 2}]
    squares["save_every"] = 2
    whole = run(squares, tmp_path / "whole")

    def stop(event):
        if isinstance(event, tp.events.Step) and event.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(squares, tmp_path / "cut", watch=stop)
    assert checkpoint.latest(tmp_path / "cut" / "checkpoints") == tmp_path / "cut" / "checkpoints" / "step-00000006"
    resumed = run(squares, tmp_path / "cut", resume=True)
    a, b = weights(whole), weights(resumed)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert [r["loss"] for r in resumed.lines("metrics.jsonl")] == [r["loss"] for r in whole.lines("metrics.jsonl")]


def test_a_frozen_encoder_stays_as_it_was(squares, tmp_path):
    squares["stages"] = [{"steps": 2}]
    before = weights(run(squares, tmp_path / "a"))
    squares["stages"] = [{"steps": 2}, {"steps": 2, "freeze": ["encoder"]}]
    after = weights(run(squares, tmp_path / "b"))
    same = {k for k in before if torch.equal(before[k], after[k])}
    assert {k for k in before if k.startswith("encoder.")} <= same
    assert any(k.startswith("heads.") for k in set(before) - same)


def test_accumulation_is_a_larger_batch(squares, tmp_path):
    squares["augment"] = {"scale": [1, 1]}
    squares["tasks"]["action"]["dropout"] = 0.0
    squares["tasks"]["depth"]["dropout"] = 0.0
    squares["stages"] = [{"steps": 3, "accumulate": 2}]
    split = run(squares, tmp_path / "split")
    squares["stages"] = [{"steps": 3}]
    for source in squares["sources"].values():
        source["quota"] *= 2
    whole = run(squares, tmp_path / "whole")
    pairs = zip(split.lines("metrics.jsonl"), whole.lines("metrics.jsonl"), strict=True)
    assert all(a["loss"] == pytest.approx(b["loss"], abs=1e-5) for a, b in pairs)


def test_broken_clips_are_skipped_counted_and_listed(squares, tmp_path):
    squares["sources"]["labelled"] |= {"broken": [2, 5]}
    squares["max_skipped"] = 0.2
    squares["stages"] = [{"steps": 6}]
    listed = run(squares, tmp_path / "run").lines("skipped.jsonl")
    assert {r["key"] for r in listed} == {"squares/2", "squares/5"}
    assert all(r["source"] == "labelled" and "the file is empty" in r["reason"] for r in listed)
    squares["max_skipped"] = 0.1
    with pytest.raises(tp.SourceError, match=r"2 of 12 clips cannot be used, more than max_skipped 0\.1"):
        run(squares, tmp_path / "again")


def test_a_mistake_in_a_sources_code_names_source_and_clip(squares, tmp_path):
    squares["sources"]["rendered"]["wrong"] = [3]
    with pytest.raises(tp.SourceError, match="source 'rendered', sample 'squares/3': ZeroDivisionError: a mistake"):
        run(squares, tmp_path / "run")


def test_a_class_that_is_not_in_the_list_is_skipped_with_its_name(squares, tmp_path):
    squares["tasks"]["action"]["classes"] = ["left", "rihgt"]
    with pytest.raises(tp.SourceError, match="'right'"):
        run(squares, tmp_path / "run")


def test_a_run_is_never_overwritten_unasked(squares, tmp_path):
    out = tmp_path / "run"
    run(squares, out)
    with pytest.raises(tp.CheckpointError, match=r"holds a run already\. Add `resume=True`"):
        run(squares, out)
    other = squares | {"backbone": {"kind": "tiny", "dim": 16, "depth": 2, "heads": 2}}
    with pytest.raises(tp.CheckpointError, match=r"another recipe:\n  backbone\.dim: found 16, expected 32"):
        run(other, out, resume=True)
    run(other, out, fresh=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(tp.CheckpointError, match="is not empty and holds no run"):
        run(squares, tmp_path / "mine")


def test_two_jobs_never_write_into_one_run(squares, tmp_path):
    done = run(squares, tmp_path / "run")
    refused = pytest.raises(tp.CheckpointError, match="another job is writing to this run")
    with locked(done.path), refused, locked(done.path, patience=0.1):
        pass
    with locked(done.path):  # free again
        assert done.checkpoint().exists()


def test_held_out_is_measured_on_the_way(squares, tmp_path):
    squares |= {"evaluate_every": 2, "stages": [{"steps": 5, "ema": 0.9}]}
    lines = run(squares, tmp_path / "run").lines("held_out.jsonl")
    assert [r["step"] for r in lines] == [2, 4, 5]
    assert 0 <= lines[-1]["test/action/top1"] <= 1


def test_step_facts_reach_tensorboard(squares, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = run(squares, tmp_path / "run")
    events = EventAccumulator(str(done.path / "tensorboard"))
    events.Reload()
    losses = [e.value for e in events.Scalars("loss")]
    assert losses == pytest.approx([r["loss"] for r in done.lines("metrics.jsonl")], rel=1e-6)


def test_a_loss_that_is_no_number_stops_before_the_update(squares, tmp_path):
    squares["stages"] = [{"steps": 50, "lr": 1e30, "clip_norm": None, "optimizer": "sgd"}]
    squares["save_every"] = 1
    with pytest.raises(
        tp.TaskPromptError, match=r"step \d+: the loss of .* for clips 'squares/.* is not a finite number"
    ):
        run(squares, tmp_path / "run")


def test_the_recipe_of_a_run_is_its_own(squares, tmp_path):
    recipe = validate(squares, "r", tp.Recipe)
    assert tp.fit(recipe, tmp_path / "run", cluster=None, watch=lambda r: None).recipe == recipe
    assert json.loads(json.dumps(recipe.model_dump(mode="json"))) == recipe.model_dump(mode="json")
