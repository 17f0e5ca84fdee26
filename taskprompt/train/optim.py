"""Optimizers by name, parameter groups, the learning rate schedule, and frozen parts."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from taskprompt.core.errors import SpecError
from taskprompt.recipe.recipe import Stage


def training_mode(model: nn.Module) -> None:
    """Train mode, but eval mode for every part whose parameters are all frozen: no dropout, fixed statistics."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def decay_groups(named: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict]:
    """Two groups: no weight decay for biases, norms and prompts. A rule by shape would miss prompts, which are n d."""
    trained = [(n, p) for n, p in named if p.requires_grad]
    still = [(n, p) for n, p in trained if p.ndim <= 1 or n.startswith("prompter.")]
    exempt = {n for n, _ in still}
    decayed = [p for n, p in trained if n not in exempt]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": [p for _, p in still], "weight_decay": 0.0}]
    return [g for g in groups if g["params"]]


def make_optimizer(named: Iterable[tuple[str, nn.Parameter]], stage: Stage) -> torch.optim.Optimizer:
    """The stage's optimizer over all trained parameters."""
    groups = decay_groups(named, stage.weight_decay)
    if not groups:
        raise SpecError(f"freeze: {', '.join(stage.freeze)} leaves nothing to train. Remove a part from `freeze`.")
    if stage.optimizer == "sgd":
        # Not fused: fused optimizers do not support FSDP's sharded tensors.
        return torch.optim.SGD(groups, stage.lr, momentum=stage.betas[0], nesterov=stage.betas[0] > 0)
    make = torch.optim.AdamW if stage.optimizer == "adamw" else torch.optim.Adam
    return make(groups, stage.lr, betas=stage.betas, fused=True)


def learning_rate(stage: Stage, step: int) -> float:
    """The rate of optimizer step `step` (from 0): linear warm-up, then a half-period cosine to final_lr."""
    if step < stage.warmup:
        return stage.lr * (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.final_lr + (stage.lr - stage.final_lr) * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
