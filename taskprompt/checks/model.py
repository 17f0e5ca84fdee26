"""Errors in a recipe's model, found without weights or data: it is built on the meta device."""

import math
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from taskprompt.core.errors import RecipeError, SourceError, TaskPromptError, nearest, told
from taskprompt.core.model import MultiTaskModel
from taskprompt.core.task import Task
from taskprompt.core.types import Dims, Features
from taskprompt.recipe.build import freeze, meta_model
from taskprompt.recipe.recipe import Best, Recipe, Stage
from taskprompt.train.optim import make_optimizer

MOST_PARAMETERS = 10**12  # four terabytes
MOST = 10_000_000  # largest target, in values, to try out metrics on


def build_meta(recipe: Recipe) -> tuple[MultiTaskModel | None, list[str]]:
    """The model on the meta device, or why it cannot be built."""
    try:
        return meta_model(recipe), []
    except Exception as error:  # a part's own code, or sizes that overflow in PyTorch
        return None, _lines("the model cannot be built", error)


def model_problems(recipe: Recipe) -> list[str]:
    """One line for each problem that prevents building the model, or training a stage."""
    model, found = build_meta(recipe)
    return found if model is None else trained_problems(recipe, model)


def trained_problems(recipe: Recipe, model: MultiTaskModel) -> list[str]:
    """The same for a model that can be built."""
    found = []
    if (count := sum(p.numel() for p in model.parameters())) > MOST_PARAMETERS:
        found.append(f"the model has {count:.1e} parameters, expected {MOST_PARAMETERS:.0e} at most. Make it smaller.")
    try:
        with torch.device("meta"):
            recipe.balancer.build(recipe.tasks)
    except Exception as error:
        found += _lines("balancer", error)
    return [*found, *_stage_problems(recipe, model), *best_problems(recipe)]


def _lines(what: str, error: Exception) -> list[str]:
    return error.text.split("\n") if isinstance(error, TaskPromptError) else [f"{what}: {told(error)}"]


def _stage_problems(recipe: Recipe, model: nn.Module) -> Iterator[str]:
    for i, stage in enumerate(recipe.stages):
        try:
            freeze(model, stage, _stage_tasks(recipe, stage))
            make_optimizer(model.named_parameters(), stage.model_copy(update={"optimizer": "sgd", "betas": (0.0, 0.0)}))
        except TaskPromptError as error:
            yield f"stages.{i}.{error.text}"


def _stage_tasks(recipe: Recipe, stage: Stage) -> list[str]:
    try:
        return [n for n in recipe.stage_tasks(stage) if n in recipe.tasks]
    except SourceError:  # data on another machine: its labels are unknown here
        return list(recipe.tasks)


def best_problems(recipe: Recipe) -> Iterator[str]:
    """A metric of `best` that its task does not measure."""
    if recipe.best and recipe.best.metric.count("/") == 2:
        source, task, _ = recipe.best.metric.split("/")
        if source in recipe.held_out and task in recipe.tasks and _declares(recipe.tasks[task]):
            yield from unmeasured("best.metric", recipe, recipe.best.metric) or no_direction(recipe, recipe.best)


def _declares(task: Task) -> bool:
    """Whether its `measures` can be read; if not, the reason is reported with the recipe's other problems."""
    try:
        task.declared()
    except Exception:
        return False
    return True


def unmeasured(where: str, recipe: Recipe, metric: str) -> list[str]:
    """The problem of a metric source/task/metric whose task exists, but has no metric of that name."""
    source, task, name = metric.split("/", 2)
    known = metric_names(recipe.tasks[task], recipe.dims())
    if known is None or name in known:
        return []
    full = [f"{source}/{task}/{n}" for n in known]
    return [f"{where}: {task!r} measures no {name!r}{nearest(metric, full)} Measured: {', '.join(full)}."]


def no_direction(recipe: Recipe, best: Best) -> list[str]:
    """The problem of a `best` if neither its task nor its mode gives the better direction."""
    if best.mode is not None or recipe.metric(best.metric).better is not None:
        return []
    return [f"best.mode: nothing says which way {best.metric!r} is better. Set mode to max or min."]


def metric_names(task: Task, dims: Dims) -> tuple[str, ...] | None:
    """The metrics that a task declares; else those of its meter on blank targets; None if that fails."""
    if declared := task.declared():
        return tuple(declared)
    try:
        target = {k: torch.from_numpy(np.stack([v, v])) for k, v in task.blank(dims).items()}
        if sum(v.numel() for v in target.values()) > MOST:
            return None
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = task.perfect(target)
            meter = task.meter()
            meter.update(_untrained(task, dims) if output is None else output, target)
            return tuple(meter.compute())
    except Exception:  # a task's own code, on blank targets
        return None


def _untrained(task: Task, dims: Dims) -> Tensor:
    """The output of a new head for two samples, on features of zeros."""
    if math.prod(dims.grid) * dims.dim > MOST:
        raise MemoryError
    levels = tuple(torch.zeros(2, *size) for size in dims.levels)
    features = Features(torch.zeros(2, dims.dim), torch.zeros(2, *dims.grid, dims.dim), {}, levels)
    inputs = {k: torch.from_numpy(np.stack([v, v])) for k, v in task.blank_inputs(dims).items()}
    with torch.random.fork_rng([]):
        head, prompt = task.head(dims).eval(), torch.zeros(2, max(1, task.prompts), dims.dim)
        return head(prompt, features, *([inputs] if inputs else []))


def check_fits(recipe: Recipe) -> None:
    """Build the model on the meta device, to reject what cannot be built or trained before anything starts.

    Raises RecipeError with all problems."""
    if problems := model_problems(recipe):
        raise RecipeError("recipe", problems)
