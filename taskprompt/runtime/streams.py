"""Streams over Ray Data: positions in, decoded columns out, in order, ahead of the consumer."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import ray
from ray.data import DataContext, Dataset, ExecutionResources, TaskPoolStrategy

from taskprompt.core.batch import Columns
from taskprompt.train.reader import Reader

SEGMENT = 256  # blocks an execution: planning is slow for thousands of blocks, starting is slow for few
AHEAD = 192 << 20  # bytes of decoded clips that one stream may hold


def ray_chunks(
    reader: Reader, start: int, stride: int, count: int | None, *, block: int, tasks: int
) -> Iterator[Columns]:
    """The same columns as train.reader.plain_chunks gives, a block at a time, read by `tasks` Ray tasks."""
    table = ray.put(reader.table)
    slim = dataclasses.replace(reader, table=None)  # type: ignore[arg-type]
    while count is None or count > 0:
        size = SEGMENT * block if count is None else min(count, SEGMENT * block)
        segment = _segment(slim, table, start, stride, size, block, tasks)
        yield from segment.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1)  # type: ignore[misc]
        start += size * stride
        count = None if count is None else count - size


def _segment(reader: Reader, table, start: int, stride: int, size: int, block: int, tasks: int) -> Dataset:
    def read(batch: Any) -> Any:
        whole = dataclasses.replace(reader, table=ray.get(table))
        return whole(batch["id"] * stride + start)

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources(cpu=tasks, object_store_memory=AHEAD)
    blocks = -(-size // block)
    numbers = ray.data.range(size, override_num_blocks=blocks)
    return numbers.map_batches(
        read, batch_format="numpy", batch_size=None, compute=TaskPoolStrategy(size=tasks), num_cpus=1
    )
