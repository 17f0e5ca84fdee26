"""mixup: pairs of clips and the losses of their labels are mixed (Zhang et al., arXiv 1710.09412)."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from taskprompt.core.task import Task
from taskprompt.core.types import Batch


class Mix(NamedTuple):
    """How the clips of a batch were mixed."""

    share: float  # weight of a clip itself; the rest is its partner's
    partners: dict[str, Tensor]  # task -> m: index of each labelled sample's partner among them


def mixup(batch: Batch, tasks: Mapping[str, Task], alpha: float) -> tuple[Batch, Mix]:
    """The batch with mixed clips, and how they were mixed; share ~ Beta(alpha, alpha), from torch's global generator.

    Only clips whose labels all belong to tasks that support mixup are mixed; partners have the same set of labels. So
    clips with depth, for example, are unchanged."""
    kinds = [_carried(batch, names) for names in _sorted(tasks)]
    plain, rows = kinds[1], torch.arange(len(batch.keys))
    partner = rows.clone()
    for labels in plain.unique(dim=0) if plain.shape[1] else ():
        alike = rows[(plain == labels).all(1) & ~kinds[0].any(1) & plain.any(1)]
        partner[alike] = alike[torch.randperm(len(alike))]
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    changed = rows[partner != rows].to(batch.video.device)
    others = partner.to(changed.device)[changed]
    video = batch.video.clone()
    video[changed] = (
        torch.lerp(batch.video[others].float(), batch.video[changed].float(), share).round().to(video.dtype)
    )
    partners = {}
    for name in (n for n in _sorted(tasks)[1] if n in batch.rows):
        own = batch.rows[name]
        place = torch.zeros_like(rows, device=own.device)
        place[own] = torch.arange(len(own), device=own.device)
        partners[name] = place[partner.to(own.device)[own]]
    return dataclasses.replace(batch, video=video), Mix(share, partners)


def _sorted(tasks: Mapping[str, Task]) -> tuple[list[str], list[str]]:
    """The names of tasks that do not support mixup, and of those that do. Tasks that compare clips do not."""
    mixed = {name: task.supports_mixup and not task.needs_global_batch for name, task in tasks.items()}
    return [n for n, yes in mixed.items() if not yes], [n for n, yes in mixed.items() if yes]


def _carried(batch: Batch, names: list[str]) -> Tensor:
    """b tasks, bool: which labels of these tasks each sample has."""
    found = torch.zeros(len(batch.keys), len(names), dtype=torch.bool)
    for i, name in enumerate(names):
        if name in batch.rows:
            found[batch.rows[name].cpu(), i] = True
    return found
