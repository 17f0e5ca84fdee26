"""Recipes, runs and sweeps at a Python prompt and in a notebook."""

import shutil

import yaml

import taskprompt as tp
from taskprompt.recipe.files import validate


def test_a_recipe_in_a_few_lines(squares):
    recipe = validate(squares, "r", tp.Recipe)
    lines = repr(recipe).splitlines()
    assert lines[0] == "Recipe"
    assert dict(line.split(maxsplit=1) for line in lines[1:] if not line.startswith("held"))["backbone"] == "tiny"
    assert str(recipe) == repr(recipe)
    assert len(lines) <= 10
    html = recipe._repr_html_()
    whole = html.partition("<pre>")[2].partition("</pre>")[0]
    assert validate(yaml.safe_load(whole.replace("&#x27;", "'").replace("&quot;", '"')), "again", tp.Recipe) == recipe


def test_a_run_says_how_far_it_is(squares, tmp_path):
    recipe = validate(squares | {"stages": [{"steps": 2}], "evaluate_every": 1}, "r", tp.Recipe)
    run = tp.fit(recipe, tmp_path / "<b>run", cluster=None, watch=lambda record: None)
    assert repr(run) == f"<Run {run.path}: 2 of 2 steps>"
    assert repr(tp.Run.open(run.path, "step-00000002")).endswith(": 2 of 2 steps, checkpoint step-00000002>")
    html = run._repr_html_()
    assert "&lt;b&gt;run" in html
    assert "<b>run" not in html
    assert "test/action/top1" in html
    assert "2 of 2 steps" in html
    (run.path / "metrics.jsonl").write_text("{\xff}\n[1]\n{}\n", encoding="latin-1")
    assert repr(run).startswith(f"<Run {run.path}")
    shutil.rmtree(run.path)
    assert repr(run) == f"<Run {run.path}>"
    assert "<table>" in run._repr_html_()


def test_a_sweep_names_its_trials(squares, tmp_path):
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
    axes = {"seed": {"choice": [0, 1]}}
    data = {"recipe": str(tmp_path / "r.yaml"), "search": axes, "metric": "test/action/top1", "mode": "max"}
    run = tp.SweepRun.start(tmp_path / "s", validate(data | {"searcher": "grid"}, "s", tp.Sweep))
    assert repr(run) == f"<SweepRun {run.path}: 0 of 2 trials>"
    run.note({"event": "begin", "trial": 0, "values": {"seed": 0}})
    run.note({"event": "report", "trial": 0, "step": 3, "value": 0.5, "seconds": 90, "last": True})
    run.note({"event": "end", "trial": 0, "state": "done"})
    run.note({"event": "begin", "trial": 1, "values": {"seed": 1}})
    run.note({"event": "end", "trial": 1, "state": "failed", "error": "<img src=x onerror=alert(1)>"})
    assert repr(run) == f"<SweepRun {run.path}: 2 of 2 trials, the best 000 with test/action/top1 0.5>"
    html = run._repr_html_()
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<img" not in html
    assert ">0.5</td>" in html
    shutil.rmtree(run.path)
    assert repr(run) == f"<SweepRun {run.path}>"
    assert "<table>" in run._repr_html_()
