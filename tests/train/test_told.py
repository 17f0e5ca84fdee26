"""What a run tells of itself: the direction of metrics, tasks without labels, and results in another place."""

import os
import shutil
import subprocess
import sys

import pytest

import taskprompt as tp
from taskprompt.checks.model import check_fits
from taskprompt.cli.results import measured, tell_trained
from taskprompt.recipe.files import validate
from taskprompt.runs import checkpoint

silent = lambda record: None  # noqa: E731


def run(data, out, **options):
    return tp.fit(validate(data, "r", tp.Recipe), out, cluster=None, watch=options.pop("watch", silent), **options)


def test_best_is_the_least_of_an_error_and_is_rejected_without_a_direction(squares, tmp_path):
    squares |= {
        "evaluate_every": 1,
        "keep": 1,
        "best": {"metric": "test/depth/RMSE_m"},
        "stages": [{"steps": 5, "lr": 0.01}],
    }
    done = run(squares, tmp_path / "run")
    scores = {r["step"]: r["test/depth/RMSE_m"] for r in done.lines("held_out.jsonl")}
    best = tp.Run.open(done.path, "best").checkpoint()
    assert best.name == f"step-{min(scores, key=lambda s: scores[s]):08d}"
    assert checkpoint.read_state(best)["metric"] == "test/depth/RMSE_m"
    with pytest.raises(tp.RecipeError, match="found 'max', but 'depth/RMSE_m' is better the other way"):
        validate(squares | {"best": {"metric": "test/depth/RMSE_m", "mode": "max"}}, "r", tp.Recipe)
    squares["tasks"]["grey"] = {"kind": "brightness:Brightness"}
    unknown = validate(squares | {"best": {"metric": "test/grey/gap"}}, "r", tp.Recipe)
    with pytest.raises(
        tp.RecipeError, match=r"nothing says which way 'test/grey/gap' is better\. Set mode to max or min"
    ):
        check_fits(unknown)


def test_a_score_of_another_metric_is_never_compared(tmp_path):
    for step, (score, metric) in enumerate([(0.1, "a"), (0.9, "b"), (0.5, "a"), (0.7, "")], 1):
        state = {"total": step, "score": score, "metric": metric}
        checkpoint.save(tmp_path, step, {}, state, keep=9)
    (tmp_path / "step-00000003/state.json").write_text("{")  # a damaged one has no score
    ranked = checkpoint.ranked(checkpoint.complete(tmp_path), tp.Best(metric="a", mode="max"))
    assert [p.name for p in ranked] == ["step-00000001"]


def test_a_task_without_labels_is_told_in_log_report_and_at_the_end(squares, tmp_path, capsys):
    squares["sources"]["labelled"] |= {"sparse": 100, "only": None}  # the action of one clip in a hundred: the first
    squares["sources"] = {"labelled": squares["sources"]["labelled"]}
    squares["stages"] = [{"steps": 8}, {"steps": 2, "tasks": ["depth"]}]
    told = []
    warned = lambda e: told.append(e.text) if isinstance(e, tp.events.Warned) else None  # noqa: E731
    done = run(squares, tmp_path / "run", watch=warned)
    assert told == []  # one label an epoch of three steps is enough
    squares["sources"]["labelled"]["nobody"] = True
    done = run(squares, tmp_path / "none", watch=warned)
    line = "task 'action' learned nothing: no clip had its label in 3 steps, an epoch of the sources that give it"
    assert len(told) == 1
    assert told[0].startswith(line)
    assert line in (done.path / "log.txt").read_text()
    tell_trained(done)
    assert f"step 3: {line}" in capsys.readouterr().out
    assert "learned nothing: no clip had its label in 3 steps" in tp.report(done).read_text()
    squares["stages"] = [{"steps": 2}]  # less than an epoch
    short = run(squares, tmp_path / "short")
    assert "in all 2 steps of stage 0" in short.lines("warnings.jsonl")[0]["text"]
    squares["held_out"]["test"]["nobody"] = True
    unmeasured = run(squares, tmp_path / "unmeasured")
    measured(str(unmeasured.path), "last", None, None)
    line = "task 'action' is not measured on 'test': no clip there has its label."
    assert line in capsys.readouterr().out
    assert "no clip there has its label" in tp.report(unmeasured).read_text()


def test_a_run_in_a_read_only_folder_is_measured_and_reported_elsewhere(squares, tmp_path):
    done = run(squares, tmp_path / "run")
    before = sorted(p.name for p in done.path.iterdir())
    out = tmp_path / "results"
    found = tp.evaluate(done, out=out, watch=silent)
    assert tp.report(done, out=out) == out / "report.html"
    assert sorted(p.name for p in out.iterdir()) == ["evaluation.json", "report.html"]
    assert found["checkpoint"] == "step-00000006"
    assert sorted(p.name for p in done.path.iterdir()) == before
    (tmp_path / "taken").touch()
    for place in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(tp.WriteError, match=r"cannot be written: .*\. Check this path, or give another folder"):
            tp.evaluate(done, out=place, watch=silent)


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'


def test_a_read_only_file_system_is_refused_before_anything_is_measured(squares, tmp_path):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    done = run(squares, tmp_path / "run")
    shutil.copy(done.path / "recipe.yaml", tmp_path / "r.yaml")
    code = (
        "import sys, taskprompt as tp\n"
        "fit = lambda run: tp.fit(run + '/recipe.yaml', run, cluster=None, resume=True)\n"
        "for call in (tp.evaluate, tp.report, fit):\n"
        "    try: call(sys.argv[1])\n"
        "    except tp.WriteError as error: print(error)\n"
        "print(tp.evaluate(sys.argv[1], out=sys.argv[2])['checkpoint'])\n"
    )

    command = ["unshare", "-rm", "bash", "-c", READ_ONLY, "-", done.path, sys.executable, "-c", code]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    call = subprocess.run([*command, done.path, tmp_path / "o"], capture_output=True, text=True, env=env)
    said = call.stdout.splitlines()
    assert len(said) == 4, call.stderr
    assert all("cannot be written: Read-only file system" in line for line in said[:3])
    assert said[3] == "step-00000006"
