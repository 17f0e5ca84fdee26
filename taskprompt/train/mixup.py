"""mixup: clips blended in pairs, and the losses of their labels with them (Zhang et al., arXiv 1710.09412)."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from taskprompt.core.task import Task
from taskprompt.core.types import Batch


class Mix(NamedTuple):
    """What the clips of a batch were blended with."""

    share: float  # of a clip itself; the rest is its partner's
    partners: dict[str, Tensor]  # task -> m: each labelled sample's partner, by its place among them


def mixup(batch: Batch, tasks: Mapping[str, Task], alpha: float) -> tuple[Batch, Mix]:
    """The batch with clips blended, and how; share ~ Beta(alpha, alpha), from torch's global generator.

    Blended are clips that carry labels of tasks that support mixup, and of no other of `tasks`; those that carry the
    same labels are partners of each other. So clips with depth, say, stay as they are."""
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
    """The names of tasks that do not support mixup, and of those that do. One that compares clips does not."""
    mixed = {name: task.supports_mixup and not task.needs_global_batch for name, task in tasks.items()}
    return [n for n, yes in mixed.items() if not yes], [n for n, yes in mixed.items() if yes]


def _carried(batch: Batch, names: list[str]) -> Tensor:
    """b tasks, bool: which labels of these tasks each sample carries."""
    found = torch.zeros(len(batch.keys), len(names), dtype=torch.bool)
    for i, name in enumerate(names):
        if name in batch.rows:
            found[batch.rows[name].cpu(), i] = True
    return found
