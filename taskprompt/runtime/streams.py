"""Streams over Ray Data: indices in, decoded columns out, in order, ahead of the consumer.

A stream is a chain of short executions, each over a segment of indices and each run to its end. One long execution
would wait for a slow consumer under back-pressure, and Ray Data's scheduler waits by polling: two such streams were
seen to take most of two cores from the training step beside them. That scheduler also looks for a finished task only
every tenth of a second, so tasks are few and long: blocks grow to BLOCK_BYTES, and two segments are under way."""

import dataclasses
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import DataContext, Dataset, TaskPoolStrategy

from taskprompt.core import errors
from taskprompt.core.batch import Columns, blank
from taskprompt.core.errors import TaskPromptError
from taskprompt.core.recipe import Runtime
from taskprompt.runtime.cluster import BLOCK_BYTES
from taskprompt.train.reader import Reader, stack

FATAL = "\x1f"  # marks an error in the column of reasons that is not one sample's
FIRST_BLOCK = 8  # clips; blocks grow from here, so that a stream starts soon and then runs with few tasks


def ray_chunks(reader: Reader, start: int, stride: int, count: int | None, *, runtime: Runtime) -> Iterator[Columns]:
    """The same columns as train.reader.plain_chunks gives, a block at a time, read by Ray tasks."""
    tasks, block = runtime.tasks_for(reader.name), runtime.block
    table = ray.put(reader.table)
    slim = dataclasses.replace(reader, table=None)  # type: ignore[arg-type]
    bytes_a_clip = sum(array.nbytes for array in blank(reader.tasks, reader.dims).values())
    largest = block or min(max(BLOCK_BYTES // bytes_a_clip, 4), 128)
    size, done = block or min(FIRST_BLOCK, largest), 0

    def following() -> "Segment | None":
        nonlocal size, done
        clips = size * max(tasks, 2)
        clips = clips if count is None else min(clips, count - done)
        if clips <= 0:
            return None
        indices = range(start + done * stride, start + (done + clips) * stride, stride)
        segment = Segment(_dataset(slim, table, indices, size, runtime))
        size, done = min(2 * size, largest), done + clips
        return segment

    current = ahead = None
    try:
        current = following()
        while current is not None:
            ahead = following()
            for chunk in current:
                raise_last_words(chunk)
                yield chunk
            current = ahead
    finally:
        for segment in (current, ahead):
            if segment is not None:
                segment.cancel()


def last_words(reader: Reader, indices: np.ndarray, error: TaskPromptError) -> Columns:
    """Columns that carry an error that ends the job; as data, for Ray Data keeps but the text of one raised."""
    note = {"key": np.asarray(""), "error": np.asarray(f"{FATAL}{type(error).__name__}{FATAL}{error}")}
    return stack([blank(reader.tasks, reader.dims) | note | {"index": np.asarray(i)} for i in indices[:1]])


def raise_last_words(chunk: Columns) -> None:
    """Raise the error that a chunk carries, if it does."""
    _, *fatal = str(chunk["error"][0]).split(FATAL) if len(chunk["error"]) else [""]
    if fatal:
        raise getattr(errors, fatal[0])(fatal[1])


def politely(work: Callable[[np.ndarray], Columns], indices: np.ndarray) -> Columns:
    """Do the work in a thread that leaves the cores to training where both want them.

    A step waits for the slowest of its threads, so a core that a data task shares for a while is half lost to it."""
    with ThreadPoolExecutor(1, initializer=_give_way) as pool:
        return pool.submit(work, indices).result()


def _give_way() -> None:
    with suppress(AttributeError, OSError):  # a thread has a priority of its own on Linux alone
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, min(19, os.getpriority(os.PRIO_PROCESS, me) + 10))


class Segment:
    """One execution, run by a thread of its own as far as it goes, whether or not anyone takes its chunks."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self.ready: queue.SimpleQueue = queue.SimpleQueue()
        self.cancelled = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            # Prefetching none leaves a thread behind for every execution (seen in Ray 2.60); one ends its thread.
            for chunk in self.dataset.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1):
                self.ready.put(chunk)
                if self.cancelled.is_set():
                    return
            self.ready.put(None)
        except BaseException as error:
            self.ready.put(error)

    def __iter__(self) -> Iterator[Columns]:
        while (chunk := self.ready.get()) is not None:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def cancel(self) -> None:
        """Start nothing more; what is under way ends."""
        self.cancelled.set()


def _dataset(reader: Reader, table: Any, indices: range, block: int, runtime: Runtime) -> Dataset:
    def read(batch: Any) -> Any:
        whole = dataclasses.replace(reader, table=ray.get(table))
        try:
            return politely(whole, batch["index"])
        except TaskPromptError as error:
            return last_words(reader, batch["index"], error)

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.op_resource_reservation_enabled = False  # it was seen to run one task where two had room
    context.execution_options.preserve_order = True
    parts = [indices[i : i + block] for i in range(0, len(indices), block)]
    blocks = ray.data.from_blocks([pa.table({"index": list(p)}) for p in parts])
    return blocks.map_batches(
        read,
        batch_format="numpy",
        batch_size=None,
        compute=TaskPoolStrategy(size=min(runtime.tasks_for(reader.name), len(parts))),
        num_cpus=runtime.data_cpus,
        label_selector=runtime.data_labels or None,
    )
