"""The order of an epoch: a position in an endless stream -> (epoch, row). The position is the only state."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=4)  # two sources at the end of an epoch
def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The seeded permutation of `length` rows for one epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(length)
    return order.astype(np.uint32) if length < 1 << 32 else order


def locate(position: int, length: int, seed: int) -> tuple[int, int]:
    """position -> (epoch, row index); every row once per epoch, each epoch in a different order."""
    epoch, place = divmod(position, length)
    return epoch, int(epoch_order(length, seed, epoch)[place])


@dataclass(frozen=True)
class IndexSequence:
    """The endless sequence of positions that workers share: index k belongs to worker k mod the number of workers.

    First those `left` over when the number of workers changed, then all from `start` on."""

    left: tuple[int, ...] = ()
    start: int = 0

    def __call__(self, index: int) -> int:
        return self.left[index] if index < len(self.left) else self.start + index - len(self.left)

    def after(self, cursors: Sequence[int]) -> "IndexSequence":
        """What remains when worker r of len(cursors) has taken all its indices below cursors[r]."""
        end = max(cursors)
        behind = (self(k) for k in range(min(cursors), end) if k >= cursors[k % len(cursors)])
        return IndexSequence((*behind, *self.left[end:]), self.start + max(0, end - len(self.left)))


FROM_THE_START = IndexSequence()


def sample_rng(seed: int, epoch: int, key: str, copy: int = 0) -> np.random.Generator:
    """The generator of one copy of a sample in one epoch, independent of the worker and the order of reading."""
    return np.random.default_rng([seed, epoch, zlib.crc32(key.encode()), *([copy] if copy else [])])


def view_rng(seed: int, epoch: int, key: str, copy: int, task: str) -> np.random.Generator:
    """The generator of a task's views of one copy of a sample in one epoch."""
    return np.random.default_rng([seed, epoch, zlib.crc32(key.encode()), copy, zlib.crc32(task.encode())])


def source_seed(seed: int, name: str) -> int:
    """A seed for each source, so that two sources of the same length have different orders."""
    return zlib.crc32(f"{seed}/{name}".encode())
