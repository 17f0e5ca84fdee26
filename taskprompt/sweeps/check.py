"""What is wrong with a sweep, found before anything starts: the recipe is built at every edge of its space."""

import json
import re

from taskprompt.checks.model import check_fits, unmeasured
from taskprompt.core.errors import CheckpointError, RecipeError
from taskprompt.recipe.recipe import Recipe
from taskprompt.sweeps.sweep import Sweep, load_bases, metric_problem, vary
from taskprompt.weights.start import check_weights


def check_sweep(sweep: Sweep) -> list[Recipe]:
    """The recipes at every edge of the space: each choice and each end of a range, the other fields as they are.

    Raises RecipeError with all that is wrong with any of them: an invalid value, a model that cannot be built, a metric
    that is not measured, weights that do not fit it, workers."""
    bases, found = load_bases(sweep), list[Recipe]()
    problems: dict[tuple[str, str], str] = {}  # both ends of a field that does not exist say the same
    for name, value in [("", None), *((n, v) for n, r in sweep.axes.items() for v in r.edges())]:
        try:
            recipe = vary(bases, sweep, {name: value} if name else {})
            check_fits(recipe)
            check_weights(recipe)
        except RecipeError as error:
            lines = error.problems
        except CheckpointError as error:
            lines = [f"weights: {error}"]
        else:
            problem = metric_problem(sweep, recipe) or mode_problem(sweep, recipe) or workers_problem(recipe)
            lines = [problem] if problem else unmeasured("metric", recipe, sweep.metric)
            found.append(recipe)
        if lines and not name:  # the others would say the same
            raise RecipeError("sweep", lines)
        for line in lines:
            same = (name, re.sub(r"(no such field.*) Found: .*$", r"\1", line))
            problems.setdefault(same, f"search.{name} at {json.dumps(value)}: {line}")
    if problems:
        raise RecipeError("sweep", list(problems.values()))
    return found


def mode_problem(sweep: Sweep, recipe: Recipe) -> str | None:
    """Does the sweep look for the worst trial? What is better, the metric's task says."""
    known = recipe.direction(sweep.metric)
    if known in (None, sweep.mode):
        return None
    return f"mode: found {sweep.mode!r}, but {sweep.metric!r} is better the other way. Set it to {known}."


def workers_problem(recipe: Recipe) -> str | None:
    """Why a recipe's trials cannot run, if they train with several processes."""
    if recipe.runtime.workers == 1:
        return None
    return (
        f"runtime.workers: found {recipe.runtime.workers}, expected 1: the trials of a sweep run side by side, each "
        "in one process. Set runtime.workers: 1 under overrides."
    )
