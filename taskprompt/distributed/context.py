"""WorkerContext: where a job runs: one worker of a cluster, or this process. The loop is the same in both."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from taskprompt.core.events import Event, Watch
from taskprompt.core.types import Columns

if TYPE_CHECKING:
    from taskprompt.data.reader import Reader

    Chunks = Callable[[Reader, int, int, int | None], Iterator[Columns]]


def silent(event: Event) -> None:
    """Ignore the event."""


def never() -> bool:
    """Never stop."""
    return False


@dataclass(frozen=True)
class WorkerContext:
    """The context of a job on one worker."""

    chunks: "Chunks"  # reader, start, stride, count -> columns in the order of indices
    rank: int = 0
    workers: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model  # DDP or FSDP, for many workers
    notify: Watch = silent  # receives the job's events; only those of worker 0 are used
    stop: Callable[[], bool] = never  # called at every checkpoint on worker 0: whether training stops there
