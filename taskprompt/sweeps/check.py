"""Checks of a sweep before anything starts: the recipe is built at every edge of the search space."""

import json
import re

from taskprompt.checks.model import check_fits, unmeasured
from taskprompt.core.errors import CheckpointError, RecipeError, nearest
from taskprompt.recipe.recipe import Recipe
from taskprompt.sweeps.sweep import Sweep, load_bases, vary
from taskprompt.weights.start import check_weights


def check_sweep(sweep: Sweep) -> list[Recipe]:
    """The recipes at every edge of the search space: each choice and each end of a range, other fields unchanged.

    Raises RecipeError with all their problems: an invalid value, a model that cannot be built, a metric that is not
    measured, weights that do not fit, several workers."""
    bases, found = load_bases(sweep), list[Recipe]()
    problems: dict[tuple[str, str], str] = {}  # both ends of an unknown field have the same problem
    for name, value in [("", None), *((n, v) for n, r in sweep.axes.items() for v in r.edges())]:
        try:
            recipe = vary(bases, sweep, {name: value} if name else {})
            check_fits(recipe)
            check_weights(recipe)
        except RecipeError as error:
            lines = error.problems
        except CheckpointError as error:
            lines = [f"weights: {error.text}"]
        else:
            problem = metric_problem(sweep, recipe) or mode_problem(sweep, recipe) or workers_problem(recipe)
            if not name:
                sweep = sweep.model_copy(update={"mode": sweep.mode or recipe.metric(sweep.metric).better})
            lines = [problem] if problem else unmeasured("metric", recipe, sweep.metric)
            found.append(recipe)
        if lines and not name:  # the others would have the same problems
            raise RecipeError("sweep", lines)
        for line in lines:
            same = (name, re.sub(r"(no such field.*) Found: .*$", r"\1", line))
            problems.setdefault(same, f"search.{name} at {json.dumps(value)}: {line}")
    if problems:
        raise RecipeError("sweep", list(problems.values()))
    return found


def metric_problem(sweep: Sweep, recipe: Recipe) -> str | None:
    """Why a recipe's runs cannot be ranked by the sweep's metric, as far as can be known in advance."""
    source, task, _ = sweep.metric.split("/", 2)
    if not recipe.held_out:
        return "metric: the recipe has no held-out sources, so nothing is evaluated. Add sources under held_out."
    if source not in recipe.held_out:
        known = ", ".join(recipe.held_out)
        return f"metric: {source!r} is not a held-out source{nearest(source, recipe.held_out)} Known: {known}."
    tasks = recipe.measured(source, recipe.held_out[source])
    if task not in tasks:
        known = ", ".join(tasks) or "none"
        return f"metric: the task {task!r} is not measured on {source!r}{nearest(task, tasks)} Measured: {known}."
    if recipe.evaluate_every is None:
        return "evaluate_every: is not set, so trials would only be evaluated at their end. Set it under overrides."
    return None


def mode_problem(sweep: Sweep, recipe: Recipe) -> str | None:
    """An unknown direction of the metric, or a mode that contradicts the metric's task."""
    known = recipe.metric(sweep.metric).better
    if known is None and sweep.mode is None:
        return f"mode: nothing says which way {sweep.metric!r} is better. Set mode to max or min."
    if None in (known, sweep.mode) or known == sweep.mode:
        return None
    what = f"mode: found {sweep.mode!r}, but {sweep.metric!r} is better the other way"
    return f"{what}. Remove mode, or choose another metric."


def workers_problem(recipe: Recipe) -> str | None:
    """The problem of trials with several workers."""
    if recipe.runtime.workers == 1:
        return None
    return (
        f"runtime.workers: found {recipe.runtime.workers}, expected 1: the trials of a sweep run in parallel, each "
        "in one process. Set runtime.workers: 1 under overrides."
    )
