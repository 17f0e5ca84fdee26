"""A recipe's model, and the part of it that a stage trains."""

from collections.abc import Iterable

import torch
from torch import nn

from taskprompt.core.balancer import Balance
from taskprompt.core.errors import SpecError, nearest
from taskprompt.core.model import MultiTaskModel
from taskprompt.recipe.recipe import Recipe, Stage


def build_model(recipe: Recipe) -> MultiTaskModel:
    """The recipe's model, initialised from its seed; the caller's random state is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)


def build_balance(recipe: Recipe) -> Balance:
    """The recipe's balance, initialised from its seed; the caller's random state is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return recipe.balancer.build(recipe.tasks)


def meta_model(recipe: Recipe) -> MultiTaskModel:
    """The recipe's model without memory for its weights. Raises what its parts raise."""
    with torch.device("meta"):
        return MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)


def freeze(model: nn.Module, stage: Stage, tasks: Iterable[str]) -> None:
    """Mark what this stage trains. Frozen: the parts it names, and the heads of tasks that it leaves out."""
    modules = dict(model.named_modules())
    for name in stage.freeze:
        if name not in modules or not name:
            known = [n for n in modules if n.count(".") <= 1 and n]
            raise SpecError(f"freeze: the model has no part {name!r}{nearest(name, known)} Known: {', '.join(known)}.")
    idle = {f"heads.{n}" for n in getattr(model, "heads", {}) if n not in set(tasks)}
    frozen = (*stage.freeze, *sorted(idle))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(name == f or name.startswith(f + ".") for f in frozen))
