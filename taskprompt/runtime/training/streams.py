"""Streams over Ray: indices in, decoded columns out, in order, ahead of the consumer.

They are tasks of one remote function, a few blocks ahead of training, and not Ray Data. A stream of training never
ends, and its order is exact. With Ray Data it is one execution without end, whose scheduler polls while the consumer is
slow (two such streams took most of two cores from the training beside them), or a chain of short ones, each of which
leaves something behind (Ray 2.60: 0.8 MB in the statistics actor, 0.1 MB here), so that a week of training ends for
want of memory. Ray Data is for what has an end."""

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

FIRST_BLOCK = 8  # clips; blocks grow from here, so that a stream starts soon and then runs with few tasks


def ray_chunks(
    reader: Reader, start: int, stride: int, count: int | None, *, runtime: Runtime, strategy: Any = "DEFAULT"
) -> Iterator[Columns]:
    """The same columns as data.local.plain_chunks gives, a block at a time, by Ray tasks.

    strategy: where Ray may place them. Raises what reading raised."""
    tasks = runtime.data_workers_for(reader.name)
    options = {"num_cpus": runtime.data_cpus, "scheduling_strategy": strategy, "max_retries": 5}
    task = read.options(**options, label_selector=runtime.data_labels or None)
    shared = ray.put(dataclasses.replace(reader, table=None)), ray.put(reader.table)  # type: ignore[arg-type]
    blocks = (task.remote(*shared, block) for block in index_blocks(reader, start, stride, count, runtime.block))
    ahead = Ahead(blocks, tasks)
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
    """One block, on a data worker; the record of what reading raised."""
    try:
        return politely(dataclasses.replace(reader, table=table), indices)
    except TaskPromptError as error:
        return ErrorRecord.of(error)


def politely(work: Callable[[np.ndarray], Columns], indices: np.ndarray) -> Columns:
    """Do the work in a thread that leaves the cores to training where both want them.

    A step waits for the slowest of its threads, so a core that a data task shares for a while is half lost to it."""
    return _polite_thread().submit(work, indices).result()


@functools.cache
def _polite_thread() -> ThreadPoolExecutor:
    """One for all blocks of a data worker: with a thread a block, a worker grew by a megabyte a clip."""
    return ThreadPoolExecutor(1, initializer=_give_way)


def _give_way() -> None:
    with suppress(AttributeError, OSError):  # a thread has a priority of its own on Linux alone
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, min(19, os.getpriority(os.PRIO_PROCESS, me) + 10))


class Ahead:
    """Tasks in order, at most `tasks` of them running, and so many again done and waiting for whoever iterates.

    A thread starts one as soon as one ends, whether or not anyone takes what is done."""

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
        """Start nothing more; what is under way ends."""
        self.cancelled.set()
        self.room.release()
