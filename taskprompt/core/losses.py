"""Losses over the samples that carry a label, normalised by how many there are in the whole step."""

from collections.abc import Mapping

import torch
from torch import Tensor

from taskprompt.core.errors import LayoutError
from taskprompt.core.task import Task
from taskprompt.core.types import Batch


def task_losses(
    tasks: Mapping[str, Task], outputs: Mapping[str, Tensor], batch: Batch, counts: Mapping[str, float]
) -> dict[str, Tensor]:
    """task -> scalar: sum over the labelled samples / counts[task], the number in the whole step on all workers.

    A task without a label here gives a zero that has a gradient, so that every worker's graph is the same."""
    losses = {}
    for name, output in outputs.items():
        if len(batch.rows[name]) == 0:
            losses[name] = output.sum() * 0
            continue
        loss = tasks[name].loss(output, batch.targets[name])
        if loss.shape != batch.rows[name].shape:
            raise LayoutError(
                f"task {name!r}: loss has shape {tuple(loss.shape)}, expected {tuple(batch.rows[name].shape)}: one "
                f"number a sample. Average over all axes but the first in {type(tasks[name]).__name__}.loss."
            )
        losses[name] = loss.float().sum() / max(counts[name], 1)
    return losses


def label_counts(batches: list[Batch], names) -> Tensor:
    """names -> how many samples of these batches carry each label, as float64 (one all-reduce for all)."""
    return torch.tensor([sum(len(b.rows.get(n, ())) for b in batches) for n in names], dtype=torch.float64)
