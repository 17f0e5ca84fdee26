"""Sweeps: ranges, the recipes of trials, and what is refused before anything starts."""

import pytest
import yaml
from sweeps import SWEEP

from taskprompt.core.errors import CheckpointError, RecipeError, SpecError
from taskprompt.core.metrics import Metric
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.sweeps.check import check_sweep
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.sweep import Range, Sweep, vary


@pytest.fixture
def problems(squares, tmp_path):
    """changes of SWEEP and of the recipe -> the lines that say what is wrong."""

    def found(of_recipe: dict | None = None, **changes) -> list[str]:
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares | (of_recipe or {})))
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(SWEEP | changes))
        try:
            sweep = Sweep.load(tmp_path / "s.yaml")
            check_sweep(sweep)
        except RecipeError as error:
            return error.problems
        return []

    return found


def test_the_values_of_a_range():
    assert Range(integer=(2, 8), step=3).grid() == (2, 5, 8)
    assert Range(uniform=(0.0, 1.0), step=0.25).grid() == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert Range(uniform=(0.0, 1.0)).grid() is None
    assert Range(choice=([1], None)).edges() == ([1], None)
    assert Range(loguniform=(1, 10)).edges() == (1.0, 10.0)
    lists = Range(choice=(["a"], ["a", "b"], None))
    assert [lists.decode(lists.encode(v)) for v in lists.edges()] == [["a"], ["a", "b"], None]


@pytest.mark.parametrize(
    ("range_", "words"),
    [
        ({}, "found none of them, expected one of choice"),
        ({"uniform": [0, 1], "choice": [1]}, "found choice and uniform, expected one"),
        ({"uniform": [1, 0]}, r"found \[1, 0\], expected two numbers, the lower one first"),
        ({"loguniform": [0, 1]}, "expected two numbers above 0"),
        ({"loguniform": [1, 2], "step": 1}, "loguniform takes no step"),
        ({"integer": [1, 6], "step": 2}, "6 is not 1 plus steps of 2. Set it to 5"),
        ({"integer": [1, 6], "step": 0.5}, "found 0.5, expected a whole number"),
        ({"choice": [1, 1]}, "lists a value twice"),
        ({"uniforme": [1, 2]}, "no such field. Did you mean 'uniform'"),
    ],
)
def test_a_range_that_is_none(range_, words):
    with pytest.raises((ValueError, SpecError), match=words):
        Range.model_validate(range_)


def test_a_trial_is_the_recipe_with_its_values(squares):
    base = validate(squares, "r", Recipe)
    bases = {"r": base}
    sweep = Sweep.model_validate(SWEEP)
    trial = vary(bases, sweep, {"stages.0.lr": 0.5, "tasks.depth": {"far": 3.0}, "held_out.test.clips": 4})
    assert trial.stages[0].lr == 0.5
    assert trial.evaluate_every == 2
    assert trial.tasks["depth"].far == 3.0  # type: ignore[attr-defined]
    assert trial.tasks["depth"].height == 8  # type: ignore[attr-defined]
    assert trial.held_out["test"].clips == 4  # type: ignore[attr-defined]
    assert set(vary(bases, sweep, {"tasks.depth": None}).tasks) == {"action"}
    assert vary(bases, sweep, {"prompter": {"kind": "none"}}).prompter != base.prompter


def test_a_grid_counts_its_combinations():
    search = {"seed": {"choice": [0, 1]}, "stages.0.warmup": {"integer": [0, 2]}}
    sweep = Sweep.model_validate(SWEEP | {"search": search, "searcher": "grid", "trials": None})
    assert sweep.count == 6
    assert sweep.combinations()[1] == {"seed": 0, "stages.0.warmup": 1}


def test_several_recipes_are_an_axis(squares):
    """The fastest one of a grid; a trial's values name its recipe."""
    bases = {
        "r": validate(squares, "r", Recipe),
        "plain": validate(squares | {"prompter": {"kind": "none"}}, "plain", Recipe),
    }
    several = SWEEP | {"recipe": ["r.yaml", "other/plain.yaml"], "searcher": "grid", "trials": None}
    sweep = Sweep.model_validate(several | {"search": {"seed": {"choice": [0, 1]}}})
    assert sweep.combinations() == [{"recipe": n, "seed": i} for i in (0, 1) for n in ("r", "plain")]
    for values in sweep.combinations():
        trial = vary(bases, sweep, values)
        assert (trial.prompter, trial.seed) == (bases[values["recipe"]].prompter, values["seed"])
    assert Sweep.model_validate(several | {"search": {}}).count == 2
    with pytest.raises(ValueError, match="two files have the name r"):
        Sweep.model_validate(several | {"recipe": ["r.yaml", "other/r.yaml"], "search": {}})
    with pytest.raises(ValueError, match="nothing varies"):
        Sweep.model_validate(SWEEP | {"search": {}})


def test_one_value_for_two_fields(squares):
    search = {"sources.labelled.clips, held_out.test.clips": {"choice": [3, 5]}}
    sweep = Sweep.model_validate(SWEEP | {"searcher": "grid", "trials": None, "search": search})
    for values, clips in zip(sweep.combinations(), (3, 5), strict=True):
        trial = vary({"r": validate(squares, "r", Recipe)}, sweep, values)
        assert [s.clips for s in (trial.sources["labelled"], trial.held_out["test"])] == [clips] * 2  # type: ignore
    with pytest.raises(ValueError, match=r"is fixed in overrides"):
        Sweep.model_validate(sweep.model_dump() | {"overrides": {"held_out.test.clips": 4}})


def test_sweeps_extend_and_expand(tmp_path, monkeypatch):
    monkeypatch.setenv("HOW_MANY", "7")
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(SWEEP | {"trials": "${HOW_MANY}"}))
    (tmp_path / "more.yaml").write_text("extends: base.yaml\nseed: 3\n")
    sweep = Sweep.load(tmp_path / "more.yaml", ["asha={grace: 2}"])
    assert (sweep.trials, sweep.seed, sweep.asha and sweep.asha.reduction) == (7, 3, 3.0)
    assert sweep.files == (str(tmp_path / "r.yaml"),)
    (tmp_path / "again.yaml").write_text(sweep.text())
    assert Sweep.load(tmp_path / "again.yaml") == sweep


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": {"stages.0.lrr": {"uniform": [1, 2]}}}, ["search.stages.0.lrr", "Did you mean 'lr'?"]),
        ({"search": {"stages.1.lr": {"uniform": [1, 2]}}}, ["search.stages.1.lr", "there is no 'stages.1.lr'"]),
        ({"search": {"stages.0.lr": {"uniform": [-1, 2]}}}, ["stages.0.lr at -1.0", "greater than 0", "Found: -1.0"]),
        (
            {"search": {"tasks.action": {"choice": [None]}}, "metric": "test/action/top1", "mode": "max"},
            ["at null", "'action'"],
        ),
        ({"metric": "test/action/top1"}, ["mode: found 'min', but 'test/action/top1' is better the other way"]),
        ({"search": {"runtime.workers": {"choice": [1, 2]}}}, ["at 2", "runtime.workers: found 2, expected 1"]),
        ({"search": {"backbone": {"choice": [{"kind": "tiny", "patch": [3, 8, 8]}]}}}, ["multiples of the patch"]),
        ({"metric": "tset/depth/RMSE_m"}, ["'tset' is not a held-out source", "Did you mean 'test'?"]),
        ({"metric": "test/dept/RMSE_m"}, ["'dept' is not measured on 'test'", "Did you mean 'depth'?"]),
        ({"metric": "RMSE_m"}, ["metric: found 'RMSE_m', expected source/task/metric"]),
        ({"overrides": {}}, ["evaluate_every: is not set", "Set it under overrides"]),
        ({"overrides": {"evaluate_evry": 2}}, ["evaluate_evry", "Did you mean 'evaluate_every'?"]),
        ({"overrides": {"stages.0.lr": 1, "evaluate_every": 2}}, ["search.stages.0.lr: is fixed in overrides"]),
        ({"recipe": "nowhere.yaml"}, ["cannot be read: No such file"]),
        ({"trials": None}, ["trials: is required for the searcher optuna"]),
        ({"searcher": "grid", "trials": None}, ["search.stages.0.lr: a grid needs finitely many values"]),
        ({"mode": "most"}, ["mode", "'max' or 'min'"]),
    ],
    ids=lambda v: None if isinstance(v, list) else "-".join(v),
)
def test_a_mistake_is_told_before_anything_starts(problems, changes, words):
    assert problems() == []
    (line,) = problems(**changes)
    assert [w for w in words if w not in line] == []


def test_the_task_says_which_trial_is_better(problems, squares, tmp_path):
    assert problems(mode=None) == []
    run = SweepRun.start(tmp_path / "out", Sweep.load(tmp_path / "s.yaml"))
    assert (run.sweep.mode, run.sweep.better(1.0, 2.0)) == ("min", True)
    assert run.metric == Metric("RMSE_m", "m", "min", over="set")
    assert SweepRun.start(run.path, Sweep.load(tmp_path / "s.yaml"), resume=True).sweep == run.sweep
    (run.path / "metric.json").write_text('{"unit": 3}')
    with pytest.raises(CheckpointError, match=r"metric\.json: cannot be read: unit: .*\. Resume the sweep"):
        _ = run.metric
    grey = {"tasks": squares["tasks"] | {"depth": {"kind": "brightness:Brightness"}}}
    unknown = {"metric": "test/depth/gap", "search": {"seed": {"choice": [0, 1]}}, "mode": None}
    assert problems(grey, **unknown) == [
        "mode: nothing says which way 'test/depth/gap' is better. Set mode to max or min."
    ]
    assert problems(grey, **unknown | {"mode": "max"}) == []
    with pytest.raises(SpecError, match="mode: is not set"):
        Sweep.model_validate(SWEEP | {"mode": None}).better(1.0, 2.0)


def test_trials_that_are_better_in_two_ways_cannot_be_ranked(problems, squares):
    less = {"tasks": squares["tasks"] | {"action": {"kind": "rated:Less"}}}
    search = {"tasks.action.kind": {"choice": ["rated:Less", "rated:More"]}}
    assert problems(less, search=search, metric="test/action/score", mode=None) == [
        "search.tasks.action.kind at \"rated:More\": mode: found 'min', but 'test/action/score' is better the other "
        "way. Remove mode, or choose another metric."
    ]


def test_a_recipe_that_holds_nothing_out(problems):
    (line,) = problems({"held_out": {}})
    assert "has no held-out sources" in line


def test_every_mistake_is_told_at_once(problems):
    search = {"seed": {"choice": [-1, -2]}, "stages.0.lr": {"uniform": [-1, 2]}, "tasks.depth.farr": {"choice": [1, 2]}}
    found = problems(search=search)
    assert [line.split(": ")[0] for line in found] == [
        "search.seed at -1",
        "search.seed at -2",
        "search.stages.0.lr at -1.0",
        "search.tasks.depth.farr at 1",
    ]
