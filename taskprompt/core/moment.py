"""Moment: which part of a video a clip shows."""

from dataclasses import dataclass

import numpy as np

from taskprompt.core.errors import SpecError


@dataclass(frozen=True, slots=True)
class Random:
    """A random part, drawn from a generator: training."""

    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class Middle:
    """The middle of the video: evaluation with one clip per video, and prediction."""


@dataclass(frozen=True, slots=True)
class Part:
    """The clip number `index`, from 0, of `of` test clips that are spread evenly over a video.

    Each is in the middle of one of `of` equal intervals, as mmaction2 samples test clips; Part(0, 1) is the middle.
    Raises SpecError for an index that is not one of them."""

    index: int
    of: int

    def __post_init__(self):
        if not 0 <= self.index < self.of:
            raise SpecError(f"found Part({self.index}, {self.of}), expected an index from 0 on and below `of`.")


Moment = Random | Middle | Part


def positions(moment: Moment, count: int) -> np.ndarray:
    """`count` relative positions, each within its own interval: from 0, the start, to 1, the end."""
    match moment:
        case Random(rng):
            return rng.random(count)
        case Middle():
            return np.full(count, 0.5)
        case Part(index, of):
            return np.full(count, (index + 0.5) / of)
