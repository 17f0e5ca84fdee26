"""What workers tell each other; each is a no-op where there is one process."""

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


def gather(value: Any) -> list[Any]:
    """Every worker's value, in order of rank, on every worker. Small plain data alone."""
    workers = world()[1]
    if workers == 1:
        return [value]
    values = [None] * workers
    dist.all_gather_object(values, value)
    return values
