"""Losses over labelled samples, normalised by their number in the whole step."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from taskprompt.core.errors import LayoutError, mistakes_of
from taskprompt.core.task import Task
from taskprompt.core.types import Batch
from taskprompt.train.mixup import Mix

Pool = Callable[[Tensor], tuple[Tensor, int]]  # m ... -> the rows of all workers, and the offset of this worker's


def alone(part: Tensor) -> tuple[Tensor, int]:
    """The pool of one worker."""
    return part, 0


class Loss(NamedTuple):
    """One task's loss on a batch."""

    share: Tensor  # scalar: this batch's contribution to the mean over the whole step
    each: Tensor  # m, detached: per labelled sample


def task_losses(
    tasks: Mapping[str, Task],
    outputs: Mapping[str, Tensor],
    batch: Batch,
    counts: Mapping[str, float],
    pool: Pool = alone,
    mix: Mix | None = None,
) -> dict[str, Loss]:
    """task -> sum over the labelled samples / counts[task], the number in the whole step on all workers.

    A task without a label here gives zero with a graph, so that every worker has the same graph. A task that
    `needs_global_batch` gets the samples of all workers, and only the losses of this worker's samples are used. If
    clips were mixed (`mix`), the losses of their own and their partners' labels are mixed, too. Raises TaskError if a
    task's code fails, LayoutError if it does not return one number per sample."""
    losses = {}
    for name, output in outputs.items():
        task, target, mine = tasks[name], batch.targets.get(name, {}), len(batch.rows[name])
        start, idle = 0, 0 if mine else output.sum() * 0
        if task.needs_global_batch:
            output, start = pool(output[:mine])
            target = {k: pool(v)[0] for k, v in target.items()}
        if len(output) == 0 or (mine == 0 and not task.needs_global_batch):
            losses[name] = Loss(idle, output.new_zeros(0))  # type: ignore[arg-type]
            continue
        with mistakes_of(name, f"{type(task).__name__}.loss", lambda name=name: batch.keys_of(name)):
            loss = task.loss(output, target)
            if mix is not None and name in mix.partners:
                other = task.loss(output, {k: v[mix.partners[name]] for k, v in target.items()})
                loss = mix.share * loss + (1 - mix.share) * other
        if loss.shape != output.shape[:1]:
            raise LayoutError(
                f"task {name!r}: loss has shape {tuple(loss.shape)}, expected {tuple(output.shape[:1])}: one "
                f"number per sample. Average over all axes but the first in {type(task).__name__}.loss."
            )
        own = loss[start : start + mine].float()
        losses[name] = Loss(own.sum() / max(counts[name], 1) + idle, own.detach())
    return losses


def label_counts(batches: list[Batch], names) -> Tensor:
    """names -> the number of samples of these batches with each label, float64, with one all-reduce."""
    return torch.tensor([sum(len(b.rows.get(n, ())) for b in batches) for n in names], dtype=torch.float64)
