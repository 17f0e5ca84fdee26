"""Collectives; each is a no-op with one process."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> tuple[int, int]:
    """(rank, number of workers)."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def total(value: Tensor, device: torch.device) -> Tensor:
    """The sum over all workers, on the CPU. The same on every worker."""
    if world()[1] == 1:
        return value
    moved = value.to(device)
    dist.all_reduce(moved)
    return moved.cpu()


def sum_in_place(value: Tensor) -> None:
    """The sum over all workers, in place. The same on every worker."""
    if world()[1] > 1:
        dist.all_reduce(value)


def gather(value: Any) -> list[Any]:
    """All-gather of every worker's value, in order of rank. For small plain data only."""
    workers = world()[1]
    if workers == 1:
        return [value]
    values = [None] * workers
    dist.all_gather_object(values, value)
    return values


def pool(part: Tensor) -> tuple[Tensor, int]:
    """m ... of each worker, m may differ -> all in order of rank, and this worker's offset. Differentiable."""
    rank, workers = world()
    if workers == 1:
        return part, 0
    if part.dtype == torch.bool:  # not every backend can sum bool
        numbers, start = pool(part.byte())
        return numbers.bool(), start
    lengths = torch.zeros(workers, dtype=torch.int64, device=part.device)
    lengths[rank] = len(part)
    dist.all_reduce(lengths)
    start = int(lengths[:rank].sum())
    return _Pool.apply(part, start, int(lengths.sum())), start  # type: ignore[return-value]


class _Pool(torch.autograd.Function):
    """Uneven all-gather. Every worker's loss depends on every part, so backward sums gradients over workers."""

    @staticmethod
    def forward(ctx, part: Tensor, start: int, count: int) -> Tensor:
        ctx.start, ctx.length = start, len(part)
        everyone = part.new_zeros((count, *part.shape[1:]))
        everyone[start : start + len(part)] = part
        dist.all_reduce(everyone)
        return everyone

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        everyone = gradients[0].contiguous().clone()
        dist.all_reduce(everyone)
        return everyone[ctx.start : ctx.start + ctx.length], None, None
