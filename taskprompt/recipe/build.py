"""A recipe's model, and the part of it that a stage trains."""
# Torch leaves types out.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

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
    check_parts("freeze", stage.freeze, model)
    idle = {f"heads.{n}" for n in getattr(model, "heads", {}) if n not in set(tasks)}
    frozen = (*stage.freeze, *sorted(idle))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(is_in(name, part) for part in frozen))


def check_parts(field: str, parts: Iterable[str], model: nn.Module) -> None:
    """Raises SpecError for a name that no module of the model has. field: where the names are from."""
    modules = dict(model.named_modules())
    for name in parts:
        if name not in modules or not name:
            known = [n for n in modules if n.count(".") <= 1 and n]
            raise SpecError(f"{field}: the model has no part {name!r}{nearest(name, known)} Known: {', '.join(known)}.")


def is_in(name: str, part: str) -> bool:
    """Does a parameter, or a module, belong to the module `part`?"""
    return name == part or name.startswith(part + ".")
