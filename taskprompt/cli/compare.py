"""The commands that compare recipes: `compare` and `profile`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from taskprompt.cli.options import Fresh, Quiet, RayCluster, ResumeTrials, Retry, readable, watcher
from taskprompt.core.errors import RecipeError
from taskprompt.recipe.plain_yaml import parse

Recipes = Annotated[
    list[str], typer.Argument(help="Recipes' yaml files, and changes as key=value.", show_default=False)
]


def compare(
    recipes: Recipes,
    seeds: Annotated[int, typer.Option(help="Runs per recipe, with seeds 0, 1, ...")] = 5,
    over: Annotated[
        list[str] | None,
        typer.Option(help='Also train with each of these values: "FIELD, FIELD=[VALUE, VALUE]", such as folds.'),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="source/task/metric, such as real/action/top1; default: that of `best`.")
    ] = None,
    mode: Annotated[
        Literal["max", "min"] | None,
        typer.Option(help="Whether higher or lower is better; default: as its task declares."),
    ] = None,
    concurrent: Annotated[int | None, typer.Option(help="Runs in parallel; default: as many as fit.")] = None,
    out: Annotated[str, typer.Option(help="The comparison's folder.")] = "runs/compare",
    cluster: RayCluster = "local",
    resume: ResumeTrials = False,
    fresh: Fresh = False,
    retry: Retry = False,
    quiet: Quiet = False,
) -> None:
    """Train recipes with several seeds each, and tabulate means, intervals, paired differences and costs."""
    files, overrides = parted(recipes)
    import taskprompt as tp

    values = parted(over or [])[1]
    for key, value in values.items():
        if not isinstance(value, list) or not value:
            raise RecipeError("--over", [f"{key}: found {value!r}, expected a list of values, as in {key}=[0, 1]."])
    options = {"over": values, "metric": metric, "mode": mode, "overrides": overrides, "concurrent": concurrent}
    options |= {"cluster": cluster, "resume": resume, "fresh": fresh, "retry": retry, "watch": watcher(quiet)}
    run = tp.compare(files, out, seeds=seeds, **options)
    print((run.path / "comparison.md").read_text(encoding="utf-8"))
    print(f"compared: {run.path / 'comparison.md'}, with .tex and .json")


def profile(
    recipes: Recipes,
    keep: Annotated[list[str] | None, typer.Option(help="A task whose head is kept at test time.")] = None,
    repeats: Annotated[int, typer.Option(help="Number of measurements of each, in turns.")] = 10,
    data: Annotated[bool, typer.Option("--json", help="Print json instead of a table.")] = False,
) -> None:
    """Cost of recipes' models: parameters, floating-point operations and milliseconds per clip."""
    files, overrides = parted(recipes)
    import taskprompt as tp
    from taskprompt.reporting.costs import markdown

    changes = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    costs = tp.profile(
        [tp.Recipe.load(f, changes) for f in files], names=[f.stem for f in files], keep=keep, repeats=repeats
    )
    print(json.dumps([asdict(c) for c in costs], indent=1) if data else markdown(costs))


def parted(words: list[str]) -> tuple[list[Path], dict[str, object]]:
    """Files that can be read, and key=value changes."""
    overrides = {}
    for word in (w for w in words if "=" in w):
        key, _, value = word.partition("=")
        try:
            overrides[key] = parse(value)
        except ValueError:
            raise RecipeError(f"override {word!r}", [f"the value {value!r} is not yaml; quote it."]) from None
    return [readable(Path(w)) for w in words if "=" not in w], overrides
