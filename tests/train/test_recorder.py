"""Trackers of a training: they get its events, and what they raise never stops it."""

import pytest

import taskprompt as tp
from taskprompt.recipe.files import validate


def run(data, out, watch=lambda event: None, **options):
    return tp.fit(validate(data, "r", tp.Recipe), out, cluster=None, watch=watch, **options)


@pytest.fixture
def tracked(squares):
    """Where trackers fail -> squares with one that fails there, another that works, and no TensorBoard."""
    squares |= {"stages": [{"steps": 3}], "save_every": 2, "evaluate_every": 2}

    def make(fails: str) -> dict:
        kind = "fragile:Fragile"
        return squares | {"trackers": {"sound": {"kind": kind}, "weak": {"kind": kind, "fails": fails}}}

    return make


def test_a_tracker_gets_the_events_of_the_training(tracked, tmp_path):
    seen = []
    done = run(tracked(""), tmp_path / "run", seen.append)
    notes = (done.path / "sound" / "notes.txt").read_text().split()
    assert notes == ["Step", "Step", "Evaluated", "Saved", "Step", "Evaluated", "Saved"]
    assert [type(e).__name__ for e in seen if not isinstance(e, tp.events.Evaluating)] == notes
    assert not (done.path / "tensorboard").exists()
    steps = [e for e in seen if isinstance(e, tp.events.Step)]
    assert [(e.step, e.left) for e in steps] == [(1, 2), (2, 1), (3, 0)]
    lines = done.lines("metrics.jsonl")
    assert [{"step": e.step, "stage": e.stage, **e.scalars()} for e in steps] == lines
    measured = [{"step": e.step, **e.metrics} for e in seen if isinstance(e, tp.events.Evaluated)]
    assert measured == done.lines("held_out.jsonl")


@pytest.mark.parametrize(("fails", "step"), [("open", 0), ("Step", 1), ("Evaluated", 2), ("Saved", 2), ("close", 3)])
def test_a_tracker_that_fails_is_told_once_and_stops_nothing(tracked, tmp_path, fails, step):
    seen = []
    done = run(tracked(fails), tmp_path / "run", seen.append)
    assert len(done.lines("metrics.jsonl")) == 3
    (warning,) = done.lines("warnings.jsonl")
    assert warning["step"] == step
    assert warning["text"].startswith("tracker 'weak' failed and is disabled; training continues. ")
    assert ("no such host" if fails == "open" else "RuntimeError: the server says no") in warning["text"]
    assert [e.text for e in seen if isinstance(e, tp.events.Warned)] == [warning["text"]]
    assert (done.path / "sound" / "notes.txt").read_text().split().count("Step") == 3
    assert "tracker 'weak' failed" in (done.path / "log.txt").read_text()


def test_trackers_may_change_where_a_run_goes_on(tracked, tmp_path):
    done = run(tracked(""), tmp_path / "run")
    more = tracked("") | {"trackers": {}, "stages": [{"steps": 4}]}
    resumed = run(more, done.path, resume=True)
    assert len(resumed.lines("metrics.jsonl")) == 4
    assert any("trackers.sound is now nothing" in r["text"] for r in resumed.lines("warnings.jsonl"))


def test_a_tracker_never_has_the_name_of_a_folder_of_the_run(squares):
    squares["trackers"] = {"checkpoints": {"kind": "tensorboard"}}
    with pytest.raises(tp.RecipeError, match=r"trackers\.checkpoints: a run has a folder 'checkpoints' of its own\."):
        validate(squares, "r", tp.Recipe)
