"""Sweeps on a real Ray: a full cluster, a killed driver, trials that fail, and what comes out."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sweeps
import yaml

import taskprompt as tp
from taskprompt.recipe.recipe import Recipe

SUPPORT = str(Path(__file__).parents[1] / "support")
SWEEP = sweeps.SWEEP | {"trials": 4, "asha": {"grace": 2, "reduction": 2}, "concurrent": 1}


@pytest.fixture
def sweep(squares, tmp_path):
    """changes of SWEEP -> the path of its file, beside the recipe's."""

    def write(**changes) -> Path:
        squares["runtime"] |= {"block": 8}
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(SWEEP | changes, sort_keys=False))
        return tmp_path / "s.yaml"

    return write


def silent(record):
    pass


def events(run: tp.SweepRun) -> list[dict]:
    return [{k: v for k, v in e.items() if k != "seconds"} for e in run.journal()]


def test_a_killed_sweep_goes_on_as_if_it_had_not_been(cluster, squares, sweep, tmp_path):
    """The driver dies in the middle of a trial; the journal of both is the same to the last digit."""
    squares["stages"] = [{"steps": 12, "lr": 1e-3}]
    file, out = sweep(), tmp_path / "killed"
    command = [Path(sys.executable).with_name("taskprompt"), "tune", file, "--out", out]
    mine = os.environ | {"PYTHONPATH": SUPPORT}
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=mine)
    end = time.monotonic() + 200
    while not in_the_middle(out / "journal.jsonl"):
        assert driver.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    begun = len(tp.SweepRun.open(out).trials())
    killed = tp.tune(file, out, resume=True, watch=silent)
    whole = tp.tune(file, tmp_path / "whole", watch=silent)
    assert begun < 4
    assert events(killed) == events(whole)
    assert len(killed.trials()) == 4
    assert {row.state for row in killed.trials()} == {"done", "stopped"}
    best = killed.best()
    assert best is not None
    assert Recipe.load(out / "best.yaml").stages[0].lr == best.values["stages.0.lr"]
    assert not (out / "tune").exists()


def in_the_middle(journal: Path) -> bool:
    lines = journal.read_text().splitlines() if journal.exists() else []
    if not lines or not lines[-1].endswith("}"):
        return False
    last = json.loads(lines[-1])
    return last["event"] == "report" and last["trial"] >= 1 and not last["last"]


def test_a_grid_with_broken_trials_on_a_full_cluster(cluster, squares, sweep, tmp_path):
    """Two trials hold 2 + 2 x 1 CPUs each, and the cluster has eight: their data tasks must find room in their own."""
    squares["runtime"] |= {"cpus_per_worker": 2, "threads": 1}
    assert cluster.cluster_resources()["CPU"] == 8
    search = {"sources.rendered.wrong": {"choice": [[], [3]]}, "stages.0.tasks": {"choice": [["depth"], None]}}
    seen = []
    file = sweep(search=search, searcher="grid", trials=None, asha=None, concurrent=2)
    run = tp.tune(file, tmp_path / "out", watch=seen.append)
    rows = run.trials()
    assert [(r.values["sources.rendered.wrong"], r.state) for r in rows] == [
        ([], "done"),
        ([], "done"),
        ([3], "failed"),
        ([3], "failed"),
    ]
    assert "sample 'squares/3': ZeroDivisionError: a mistake" in rows[2].error
    assert [r.steps for r in rows[:2]] == [[2, 4, 6], [2, 4, 6]]
    assert rows[0].measured == [r["test/depth/RMSE_m"] for r in run.run(rows[0]).lines("held_out.jsonl")]
    assert {event.change for event in seen} == {"begun", "measured", "done", "failed"}
    table = list(csv.DictReader((run.path / "results.csv").open()))
    assert [t["state"] for t in table] == ["done", "done", "failed", "failed"]
    assert [t["best_step"] for t in table[2:]] == ["", ""]
    found = json.loads((run.path / "results.json").read_text())
    assert found["best"] == min(rows[:2], key=lambda r: r.measured[-1]).number
    assert tp.evaluate(run.run(rows[0]), watch=silent)["checkpoint"] == "step-00000006"
    page = tp.report(run.path).read_text()
    assert "4 of 4 trials" in page
    assert "ZeroDivisionError: a mistake" in page
    with pytest.raises(tp.CheckpointError, match="holds a sweep already"):
        tp.tune(file, run.path, watch=silent)
    with pytest.raises(tp.CheckpointError, match="holds another sweep; these differ: search, searcher, asha"):
        tp.tune(sweep(trials=2), run.path, resume=True, watch=silent)
    again = tp.tune(sweep(search=search, searcher="grid", trials=None, asha=None), run.path, resume=True, watch=silent)
    assert again.trials() == rows  # nothing is left to do


def test_a_metric_that_no_one_measures_starts_no_sweep(sweep, tmp_path):
    words = r"metric: 'depth' measures no 'RMSE'\. Did you mean 'test/depth/RMSE_m'\?"
    with pytest.raises(tp.RecipeError, match=words):
        tp.tune(sweep(metric="test/depth/RMSE", asha=None), tmp_path / "out", watch=silent)
    assert not (tmp_path / "out").exists()


def test_a_sweep_whose_trials_all_fail_ends_with_their_error(cluster, squares, sweep, tmp_path):
    squares["sources"]["labelled"]["wrong"] = [3]
    with pytest.raises(
        tp.TaskPromptError, match=r"every trial failed, 1 in all; trial 000: .*ZeroDivisionError: a mistake"
    ):
        tp.tune(sweep(trials=1), tmp_path / "out", watch=silent)


def test_what_failed_is_tried_again_when_asked_for(cluster, squares, sweep, tmp_path):
    """It goes on where it failed. Optuna has heard that it did, and hears of no second end."""
    (flaw := tmp_path / "flaw").touch()
    squares["sources"]["labelled"] |= {"wrong": [3], "wrong_while": str(flaw)}
    file = sweep(trials=1, asha=None)
    with pytest.raises(tp.TaskPromptError, match="every trial failed, 1 in all"):
        tp.tune(file, tmp_path / "out", watch=silent)
    flaw.unlink()
    run = tp.tune(file, tmp_path / "out", retry=True, watch=silent)
    assert [(r.state, r.steps, r.error) for r in run.trials()] == [("done", [2, 4, 6], "")]
    told = [e["event"] for e in run.journal()]
    assert [e for e in told if e != "report"] == ["begin", "end", "again", "end"]
    assert told.count("report") == 3


def test_more_than_the_cluster_has_is_refused(cluster, sweep, tmp_path):
    words = r"the sweep requests 3 trials x \(.* = 3 CPUs\) = 9 CPUs; the cluster has 8 CPUs.* Lower concurrent, "
    with pytest.raises(tp.ClusterError, match=words):
        tp.tune(sweep(concurrent=3), tmp_path / "out", watch=silent)
