"""Workers are one: with labels spread unevenly, losses that compare samples, shards, and workers that come and go."""

import pytest

import taskprompt as tp
from taskprompt.recipe.files import validate
from taskprompt.runs import checkpoint
from taskprompt.runs.run import Run
from taskprompt.runtime.training import launch


def silent(record):
    pass


@pytest.fixture
def still(squares):
    """Nothing random but the order: no crops, no dropout; a third task that compares samples."""
    squares["augment"] = {"scale": [1, 1]}
    squares["tasks"]["sides"] = {"kind": "pairs:Sides"}
    for name in ("action", "depth"):
        squares["tasks"][name]["dropout"] = 0.0
    squares["sources"]["labelled"] |= {"sparse": 3}  # of each worker's two clips a step none to two have a label
    squares["stages"] = [{"steps": 8, "lr": 1e-3, "ema": 0.9}]
    squares["record_clips"] = True
    return squares


def equal_curves(one, other, names):
    pairs = list(zip(one.lines("metrics.jsonl"), other.lines("metrics.jsonl"), strict=True))
    for a, b in pairs:
        assert a.keys() == b.keys()
        for name in names:
            if name in a:
                assert a[name] == pytest.approx(b[name], abs=1e-5), (name, a["step"])
    return pairs


def equal_weights(one, other):
    for group in ("model", "ema"):
        a, b = (checkpoint.read_tensors(r.checkpoint(), group) for r in (one, other))
        assert a.keys() == b.keys()
        assert max(float((a[k] - b[k]).abs().max()) for k in a) < 3e-4  # Adam makes much of gradients near zero


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_workers_are_one(cluster, still, tmp_path, parallel):
    still["evaluate_every"] = 4
    # Adam makes as much of a gradient that is rounding as of any other; the other tests here have it.
    still["stages"] = [{"steps": 8, "lr": 1e-2, "optimizer": "sgd", "ema": 0.9}]
    one = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "one", cluster=None, watch=silent)
    still["runtime"] |= {"workers": 2, "parallel": parallel}
    two = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "two", cluster="local", watch=silent)
    names = ("loss", "loss/action", "loss/depth", "loss/sides", "grad_norm")
    pairs = equal_curves(one, two, names)
    counted = [
        sum(int(k.rpartition("/")[2]) % 3 == 0 for k in r["clips"]["labelled"][:2]) for r in two.lines("clips.jsonl")
    ]
    assert {0} < set(counted)  # the first worker had a step without any label of action and sides, and others
    assert len(pairs) == 8
    assert any("loss/sides" in a for a, _ in pairs)
    for a, b in zip(one.lines("clips.jsonl"), two.lines("clips.jsonl"), strict=True):
        assert a["step"] == b["step"]
        assert {n: sorted(k) for n, k in a["clips"].items()} == {n: sorted(k) for n, k in b["clips"].items()}
    equal_weights(one, two)
    for a, b in zip(one.lines("held_out.jsonl"), two.lines("held_out.jsonl"), strict=True):
        assert a == pytest.approx(b, abs=1e-4)  # six clips, three a worker
    assert [r["step"] for r in two.lines("held_out.jsonl")] == [4, 8]


@pytest.mark.parametrize(
    ("balancer", "accumulate"),
    [({"kind": "balances:Learning"}, 1), ({"kind": "balances:Summing", "parts": ["encoder.blocks.-1", "prompter"]}, 2)],
)
def test_a_balance_of_two_workers_is_that_of_one(cluster, still, tmp_path, balancer, accumulate):
    """Own parameters, and gradients by task, with labels on one of the workers alone."""
    stage = {"steps": 4, "lr": 1e-2, "optimizer": "sgd", "ema": 0.9, "accumulate": accumulate}
    still |= {"balancer": balancer, "stages": [stage]}
    one = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "one", cluster=None, watch=silent)
    still["runtime"] |= {"workers": 2}
    two = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "two", cluster="local", watch=silent)
    assert len(equal_curves(one, two, ("loss", "loss/action", "loss/depth", "loss/sides", "grad_norm"))) == 4
    equal_weights(one, two)
    a, b = (checkpoint.read_tensors(r.checkpoint(), "balance") for r in (one, two))
    assert all(a[k].allclose(b[k], atol=1e-5, equal_nan=True) for k in a)


def test_gradients_by_task_of_shards_are_refused(cluster, still, tmp_path):
    still["balancer"] = {"kind": "balances:Summing"}
    still["runtime"] |= {"workers": 2, "parallel": "fsdp"}
    with pytest.raises(tp.SpecError, match="not available where FSDP shards the weights"):
        tp.fit(validate(still, "r", tp.Recipe), tmp_path / "run", cluster="local", watch=silent)


def test_shards_are_resumed_as_they_were(cluster, still, tmp_path):
    still["runtime"] |= {"workers": 2, "parallel": "fsdp"}
    still["stages"] = [
        {"steps": 4, "lr": 1e-3, "ema": 0.9},
        {"steps": 5, "lr": 1e-3, "ema": 0.9, "freeze": ["encoder"]},
    ]
    still["save_every"] = 3
    whole = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "whole", cluster="local", watch=silent)
    task = {"kind": "mortal:Mortal", "label": "depth", "after": 8, "grave": str(tmp_path / "grave")}
    still["tasks"]["depth"] |= task
    killed = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "killed", cluster="local", watch=silent)
    assert (tmp_path / "grave").exists()
    for a, b in zip(whole.lines("metrics.jsonl"), killed.lines("metrics.jsonl"), strict=True):
        assert (a["step"], a["loss"], a["grad_norm"]) == (b["step"], b["loss"], b["grad_norm"])
    equal_weights(whole, killed)


def each_clip_once_an_epoch(run, steps, quotas, usable):
    """Every step is recorded, and of every source no clip comes a second time before all others came."""
    lines = run.lines("clips.jsonl")
    assert [r["step"] for r in lines] == list(range(1, steps + 1))
    for source, quota in quotas.items():
        keys = [k for r in lines for k in r["clips"][source]]
        assert len(keys) == steps * quota
        times = [keys.count(k) for k in set(keys)]
        assert len(times) == usable[source]
        assert max(times) - min(times) <= 1


def test_fewer_workers_go_on_with_the_very_next_clips(cluster, still, tmp_path):
    still["sources"]["labelled"] |= {"broken": [1, 7]}
    still |= {"max_skipped": 0.5, "save_every": 2, "stages": [{"steps": 11, "lr": 1e-3}]}
    still["runtime"] |= {"workers": 2, "max_failures": 0}
    task = {"kind": "mortal:Mortal", "label": "depth", "after": 6, "grave": str(tmp_path / "grave")}
    still["tasks"]["depth"] |= task
    with pytest.raises(tp.ClusterError, match="a worker or its node was lost"):
        tp.fit(validate(still, "r", tp.Recipe), tmp_path / "run", cluster="local", watch=silent)
    assert Run.open(tmp_path / "run").checkpoint().name == "step-00000004"
    run = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "run", cluster=None, resume=True, watch=silent)
    each_clip_once_an_epoch(run, 11, {"labelled": 4, "rendered": 2}, {"labelled": 10, "rendered": 10})


def test_workers_are_added_where_there_is_room(cluster, hog, still, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "GROWTH_SECONDS", 0.5)
    still |= {"save_every": 10, "stages": [{"steps": 300, "lr": 1e-3}], "evaluate_every": None}
    still["runtime"] |= {"workers": [1, 2]}
    held = hog(4)  # of 8; one worker needs 3, two need 6
    seen = []

    def watch(event):
        seen.append(event)
        if isinstance(event, tp.events.Step) and event.step == 5:
            cluster.kill(held)

    run = tp.fit(validate(still, "r", tp.Recipe), tmp_path / "run", cluster="local", watch=watch)
    assert [e.workers for e in seen if isinstance(e, tp.events.ScalingUp)] == [1]
    log = (run.path / "log.txt").read_text()
    assert "worker 1 of 1" in log
    assert "worker 1 of 2" in log
    each_clip_once_an_epoch(run, 300, {"labelled": 4, "rendered": 2}, {"labelled": 12, "rendered": 10})
