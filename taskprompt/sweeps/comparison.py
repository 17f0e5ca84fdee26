"""Comparison of recipes over the same seeds: means, intervals, paired differences, and cost of a run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from taskprompt.core.errors import SpecError
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.sweeps.sweep import Sweep, words
from taskprompt.sweeps.trials import TrialRow


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds with half the width of its 95 % interval (Student's t); NaN for a single one."""

    mean: float
    half: float
    count: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipe of a comparison."""

    recipe: str
    value: Mean | None  # None if no run of it has ended
    gain: Mean | None  # over the first recipe with the same seed, and fold if any; None for the first itself
    minutes: float  # of training and evaluation per run
    failed: tuple[str, ...]  # one line per failed run


def comparison_sweep(
    recipes: Sequence[str | Path],
    seeds: int,
    metric: str | None,
    mode: str | None,
    overrides: Mapping[str, Any],
    concurrent: int | None = None,
    over: Mapping[str, Sequence[Any]] | None = None,
) -> Sweep:
    """The sweep that trains every recipe with every seed and every value in `over`. Raises SpecError, RecipeError."""
    if len(recipes) < 2 or seeds < 1:
        found = f"{len(recipes)} recipe{'s' * (len(recipes) != 1)} and {seeds} seeds"
        raise SpecError(
            f"found {found}, expected at least two recipes, the first as the baseline, and at least one seed."
        )
    loaded = [Recipe.load(r) for r in recipes]
    metric = metric or (loaded[0].best.metric if loaded[0].best else None)
    if metric is None:
        first = loaded[0]
        known = [f"{name}/{task}/..." for name, s in first.held_out.items() for task in first.measured(name, s)]
        raise SpecError(
            f"metric: none is given. Measured: {', '.join(known) or 'nothing'}. Give --metric real/action/top1."
        )
    if mode is None and loaded[0].metric(metric).better is None:
        raise SpecError(
            f"mode: the task of {metric!r} does not declare whether higher or lower is better. Give --mode max or min."
        )
    every = {} if all(r.evaluate_every for r in loaded) else {"evaluate_every": quarter(loaded)}
    return validate(
        {
            "recipe": [str(Path(r).absolute()) for r in recipes],
            "overrides": {**every, **overrides},
            "search": {name: {"choice": list(v)} for name, v in {"seed": range(seeds), **(over or {})}.items()},
            "metric": metric,
            "mode": mode or loaded[0].metric(metric).better,
            "searcher": "grid",
            "concurrent": concurrent,
        },
        "compare",
        Sweep,
    )


def is_comparison(sweep: Sweep) -> bool:
    """Whether this sweep trains several recipes with the same seeds."""
    return sweep.searcher == "grid" and {"recipe", "seed"} <= sweep.axes.keys()


def quarter(recipes: Sequence[Recipe]) -> int:
    """A quarter of the steps of the shortest recipe."""
    return max(1, min(sum(stage.steps for stage in r.stages) for r in recipes) // 4)


def compare_rows(rows: Sequence[TrialRow], recipes: Sequence[str]) -> list[Entry]:
    """One entry per recipe, in order, from the trials of a comparison."""
    ended = {n: {pair(r): r for r in rows if r.values["recipe"] == n and r.state == "done"} for n in recipes}
    entries = []
    for name in recipes:
        mine, first = ended[name], ended[recipes[0]]
        gains = [mine[s].measured[-1] - first[s].measured[-1] for s in mine if s in first]
        failed = [r for r in rows if r.values["recipe"] == name and r.state == "failed"]
        entries.append(
            Entry(
                name,
                mean([r.measured[-1] for r in mine.values()]),
                None if name == recipes[0] else mean(gains),
                float(np.mean([r.seconds for r in mine.values()])) / 60 if mine else math.nan,
                tuple(f"{pair(r)}: {r.error}" for r in failed),
            )
        )
    return entries


def pair(row: TrialRow) -> str:
    """What identifies the runs of other recipes that a run is paired with: "seed 0"."""
    return ", ".join(f"{name} {words(value)}" for name, value in row.values.items() if name != "recipe")


def mean(values: Sequence[float]) -> Mean | None:
    """The mean; None for no values."""
    from scipy.stats import t  # takes half a second to load

    count = len(values)
    if not count:
        return None
    spread = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return Mean(float(np.mean(values)), spread * float(t.ppf(0.975, max(count - 1, 1))), count)


def as_data(entries: Sequence[Entry], metric: str) -> dict[str, Any]:
    """The table as plain data; missing numbers are null."""

    def plain(m: Mean | None) -> dict[str, Any] | None:
        return m and {"mean": m.mean, "half": m.half if math.isfinite(m.half) else None, "runs": m.count}

    found = [
        {
            "recipe": e.recipe,
            "value": plain(e.value),
            "gain": plain(e.gain),
            "minutes": e.minutes if math.isfinite(e.minutes) else None,
            "failed": list(e.failed),
        }
        for e in entries
    ]
    return {"metric": metric, "recipes": found}
