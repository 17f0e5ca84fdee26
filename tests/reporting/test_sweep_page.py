"""The page of a sweep and its results, from a journal written by hand."""

import json

import pytest
import yaml

import taskprompt as tp
from taskprompt.reporting.sweep_page import ranked
from taskprompt.reporting.sweep_plots import importances, place, ticks
from taskprompt.sweeps.sweep import Range, words
from taskprompt.sweeps.trials import best, result

SWEEP = {
    "recipe": "r.yaml",
    "overrides": {"evaluate_every": 2},
    "search": {"stages.0.lr": {"loguniform": [1e-4, 1e-2]}, "stages.0.tasks": {"choice": [["action"], None]}},
    "metric": "test/depth/RMSE_m",
    "mode": "min",
    "trials": 12,
}
MEASURED = [[3.0, 2.0, 2.5], [1.0], [4.0, 2.25, 2.0], [0.5]]  # trial -> at steps 2, 4, 6
ENDS = ["done", "stopped", "done", "failed"]


@pytest.fixture
def run(squares, tmp_path) -> tp.SweepRun:
    """Four trials: two done, one stopped, one failed; a fifth is under way."""
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(SWEEP, sort_keys=False))
    run = tp.SweepRun.start(tmp_path / "sweep", tp.Sweep.load(tmp_path / "s.yaml"))
    for number in range(5):
        run.note({"event": "begin", "trial": number, "values": {"stages.0.lr": 1e-3, "stages.0.tasks": None}})
    for number, (values, state) in enumerate(zip(MEASURED, ENDS, strict=True)):
        for i, value in enumerate(values):
            event = {"event": "report", "trial": number, "step": 2 * i + 2, "value": value, "seconds": 1.5}
            run.note(event | {"last": i == 2})
        error = "<b>a mistake</b>" if state == "failed" else ""
        run.note({"event": "end", "trial": number, "state": state, "error": error})
    return run


def test_the_best_is_that_of_the_last_measurements_of_whole_trials(run):
    rows = run.trials()
    assert [r.state for r in rows] == [*ENDS, "running"]
    assert best(rows, run.sweep) is rows[2]  # 2.0 at the end; 1.0 was stopped, and 2.0 of trial 0 was in between
    assert best(rows[1:2], run.sweep) is rows[1]
    assert best(rows[3:], run.sweep) is None
    assert [r.number for r in ranked(rows, run.sweep)] == [2, 0, 1, 4, 3]


def test_results(run):
    rows = run.trials()
    found = result(rows[0], run.sweep)
    assert (found["last"], found["best"], found["best_step"], found["steps"], found["seconds"]) == (2.5, 2.0, 4, 6, 4.5)
    run.write_results(rows, run.sweep)
    table = (run.path / "results.csv").read_text().splitlines()
    assert table[0] == "trial,stages.0.lr,stages.0.tasks,state,last,best,best_step,steps,seconds,error"
    assert table[1] == "0,0.001,null,done,2.5,2.0,4,6,4.5,"
    assert table[5] == "4,0.001,null,running,,,,0,0.0,"
    assert json.loads((run.path / "results.json").read_text())["best"] == 2
    text = (run.path / "best.yaml").read_text()
    assert text.startswith("# The best of 5 trials of the sweep sweep: trial 002, which is done.\n")
    assert tp.Recipe.load(run.path / "best.yaml") == run.recipe(rows[2].values)


def test_a_line_cut_off_by_a_crash_is_dropped(run):
    before = run.journal()
    with (run.path / "journal.jsonl").open("a") as file:
        file.write('{"event": "rep')
    run.drop_incomplete_line()
    run.note({"event": "end", "trial": 4, "state": "done", "error": ""})
    assert run.journal()[:-1] == before
    assert run.trials()[4].state == "done"


def test_the_page(run):
    page = tp.report(run).read_text()
    assert "5 of 12 trials" in page
    assert "(2 done, 1 stopped, 1 running, 1 failed)" in page
    assert "&lt;b&gt;a mistake&lt;/b&gt;" in page
    assert page.count("<svg") == 3
    assert "PED-ANOVA needs at least 8 different trials" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    empty = tp.SweepRun.start(run.path.parent / "empty", tp.Sweep.load(run.path.parent / "s.yaml"))
    assert "None has started yet." in tp.report(empty).read_text()


def test_which_field_mattered(run):
    rows = []
    for i in range(12):  # lr decides, the tasks do not
        values = {"stages.0.lr": 1e-4 * 1.5**i, "stages.0.tasks": [["action"], None][i % 2]}
        row = run.trials()[4]
        row.number, row.values, row.measured, row.steps, row.state = i, values, [float(i)], [2], "done"
        rows.append(row)
    found = importances(rows, run.sweep)
    assert list(found) == ["stages.0.lr", "stages.0.tasks"]
    assert sum(found.values()) == pytest.approx(1)
    assert found["stages.0.lr"] > 0.8
    assert importances(rows[:7], run.sweep) == {}


def test_where_a_value_stands():
    lr, tasks = Range(loguniform=(1e-4, 1e-2)), Range(choice=(["a"], ["a", "b"], None))
    assert place(lr, 1e-3) == pytest.approx(0.5)
    assert place(Range(integer=(2, 6)), 3) == 0.25
    assert [place(tasks, v) for v in tasks.edges()] == [0.0, 0.5, 1.0]
    assert ticks(tasks) == ([0.0, 0.5, 1.0], ["a", "a, b", "null"])
    assert words({"kind": "none"}) == '{"kind": "none"}'
