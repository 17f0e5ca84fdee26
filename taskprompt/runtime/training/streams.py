"""Streams over Ray: indices in, decoded columns out, in order, with prefetching.

They use tasks of one remote function, a few blocks ahead of training, instead of Ray Data. A training stream is endless
and has an exact order. With Ray Data it would be one endless execution, whose scheduler polls while the consumer is
slow (two such streams used most of two cores), or a chain of short ones, each of which leaks memory (Ray 2.60: 0.8 MB
in the statistics actor, 0.1 MB here), so that a week of training would run out of memory. Ray Data is used for finite
jobs."""

import dataclasses
import functools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import ray

from taskprompt.core.errors import ErrorRecord, TaskPromptError
from taskprompt.core.types import Columns
from taskprompt.data.reader import Reader
from taskprompt.recipe.runtime import Runtime
from taskprompt.runtime.cluster.connect import BLOCK_BYTES

FIRST_BLOCK = 8  # clips; blocks grow from here, so that a stream starts quickly and then needs few tasks


def ray_chunks(
    reader: Reader, start: int, stride: int, count: int | None, *, runtime: Runtime, strategy: Any = "DEFAULT"
) -> Iterator[Columns]:
    """The same columns as from data.local.plain_chunks, one block at a time, by Ray tasks.

    strategy: Ray's scheduling strategy. Raises errors of reading."""
    tasks = runtime.data_workers_for(reader.name)
    options = {"num_cpus": runtime.data_cpus, "scheduling_strategy": strategy, "max_retries": 5}
    task = read.options(**options, label_selector=runtime.data_labels or None)
    shared = ray.put(dataclasses.replace(reader, table=None)), ray.put(reader.table)  # type: ignore[arg-type]
    blocks = (task.remote(*shared, block) for block in index_blocks(reader, start, stride, count, runtime.block))
    ahead = Prefetch(blocks, tasks)
    try:
        for block in ahead:
            columns = ray.get(block)
            if isinstance(columns, ErrorRecord):
                raise columns.raised()
            yield columns
    finally:
        ahead.cancel()


def index_blocks(reader: Reader, start: int, stride: int, count: int | None, block: int | None) -> Iterator[np.ndarray]:
    """start, start + stride, ... in blocks that grow to `block` clips, or to BLOCK_BYTES."""
    bytes_a_clip = sum(array.nbytes for array in reader.blank().values())
    largest = block or min(max(BLOCK_BYTES // bytes_a_clip, 4), 128)
    size, done = block or min(FIRST_BLOCK, largest), 0
    while count is None or done < count:
        clips = size if count is None else min(size, count - done)
        yield np.arange(start + done * stride, start + (done + clips) * stride, stride)
        size, done = min(2 * size, largest), done + clips


@ray.remote
def read(reader: Reader, table: Any, indices: np.ndarray) -> Columns | ErrorRecord:
    """Read one block, on a data worker; or return the record of an error."""
    try:
        return with_low_priority(dataclasses.replace(reader, table=table), indices)
    except TaskPromptError as error:
        return ErrorRecord.of(error)


def with_low_priority(work: Callable[[np.ndarray], Columns], indices: np.ndarray) -> Columns:
    """Do the work in a thread with low priority, so that training has precedence on the cores.

    A training step waits for its slowest thread, so sharing a core with a data task would slow down the whole step."""
    return _low_priority_thread().submit(work, indices).result()


@functools.cache
def _low_priority_thread() -> ThreadPoolExecutor:
    """One thread for all blocks of a data worker: with one per block, memory grew by a megabyte per clip."""
    return ThreadPoolExecutor(1, initializer=_lower_priority)


def _lower_priority() -> None:
    with suppress(AttributeError, OSError):  # only Linux has priorities per thread
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, min(19, os.getpriority(os.PRIO_PROCESS, me) + 10))


class Prefetch:
    """Tasks in order, with at most `tasks` running, and as many finished ones waiting for the consumer.

    A thread starts the next task as soon as one ends, independent of the consumer."""

    def __init__(self, blocks: Iterator[ray.ObjectRef], tasks: int):
        self.blocks, self.tasks = blocks, tasks
        self.room = threading.Semaphore(2 * max(tasks, 2))
        self.ready: queue.SimpleQueue = queue.SimpleQueue()
        self.cancelled = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        running: list[ray.ObjectRef] = []
        try:
            while self.room.acquire() and not self.cancelled.is_set():
                if len(running) >= self.tasks:
                    _, running = ray.wait(running, num_returns=1)
                block = next(self.blocks, None)
                self.ready.put(block)
                if block is None:
                    return
                running.append(block)
        except BaseException as error:
            self.ready.put(error)

    def __iter__(self) -> Iterator[ray.ObjectRef]:
        while (block := self.ready.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block
            self.room.release()

    def cancel(self) -> None:
        """Start no more tasks; running ones finish."""
        self.cancelled.set()
        self.room.release()
