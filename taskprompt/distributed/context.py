"""Place: where a job runs: one worker of a cluster, or this very process. The loop is the same in both."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from taskprompt.core.errors import SpecError
from taskprompt.data.batch import Columns
from taskprompt.data.reader import Reader, plain_chunks
from taskprompt.recipe.runtime import Runtime

Chunks = Callable[[Reader, int, int, int | None], Iterator[Columns]]


def silent(record: dict[str, Any]) -> None:
    """Nobody watches."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass(frozen=True)
class Place:
    """This process, unless told otherwise."""

    rank: int = 0
    workers: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    chunks: Chunks = plain_chunks  # reader, start, stride, count -> columns in the order of indices
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model  # for many workers
    notify: Callable[[dict[str, Any]], None] = silent  # facts for whoever watches
    stop: Callable[[], bool] = never  # asked at every checkpoint, by the first worker: is training to stop there?


def this_process(runtime: Runtime, notify: Callable[[dict[str, Any]], None] = silent) -> Place:
    """A place without a cluster: one worker here, on the GPU where the recipe asks for one. Raises SpecError."""
    if runtime.gpu and not torch.cuda.is_available():
        raise SpecError(f"runtime.gpu is {runtime.gpu}, but torch sees no GPU here. Set runtime.gpu=false.")
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    return Place(device=torch.device("cuda" if runtime.gpu else "cpu"), notify=notify)
