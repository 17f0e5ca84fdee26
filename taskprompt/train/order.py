"""The order of an epoch: a position in an endless stream -> (epoch, row). A position is all there is to remember."""

import zlib
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=8)
def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The seeded permutation of `length` rows for one epoch."""
    return np.random.default_rng([seed, epoch]).permutation(length)


def locate(position: int, length: int, seed: int) -> tuple[int, int]:
    """position -> (epoch, row index); every row once an epoch, each epoch in an order of its own."""
    epoch, place = divmod(position, length)
    return epoch, int(epoch_order(length, seed, epoch)[place])


def sample_rng(seed: int, epoch: int, key: str) -> np.random.Generator:
    """The generator of one sample in one epoch: the same whoever reads it, in whatever order."""
    return np.random.default_rng([seed, epoch, zlib.crc32(key.encode())])


def source_seed(seed: int, name: str) -> int:
    """A seed for each source, so that two sources of one length are not shuffled alike."""
    return zlib.crc32(f"{seed}/{name}".encode())
