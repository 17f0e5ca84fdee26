"""WorkerContext: where a job runs: one worker of a cluster, or this very process. The loop is the same in both."""

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
    """Nobody watches."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass(frozen=True)
class WorkerContext:
    """What a job is told of the worker it runs on."""

    chunks: "Chunks"  # reader, start, stride, count -> columns in the order of indices
    rank: int = 0
    workers: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model  # for many workers
    notify: Watch = silent  # events, for whoever watches the job; those of the first worker count
    stop: Callable[[], bool] = never  # asked at every checkpoint, by the first worker: is training to stop there?
