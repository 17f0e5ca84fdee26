"""Jobs in this process, without Ray: reading of clips, and the job's context."""

from collections.abc import Iterator

import numpy as np

from taskprompt.core.events import Watch
from taskprompt.core.types import Columns
from taskprompt.data.reader import Reader
from taskprompt.distributed.context import WorkerContext, silent
from taskprompt.recipe.runtime import Runtime


def this_process(runtime: Runtime, notify: Watch = silent) -> WorkerContext:
    """A context without a cluster: one worker here, on the GPU if the recipe requests one. Raises SpecError."""
    return WorkerContext(plain_chunks, device=runtime.device(), notify=notify)


def plain_chunks(reader: Reader, start: int, stride: int, count: int | None) -> Iterator[Columns]:
    """Indices start, start + stride, ... read in this process, one at a time; endless if count is None."""
    index = start
    while count is None or count > 0:
        yield reader(np.asarray([index]))
        index += stride
        count = None if count is None else count - 1
