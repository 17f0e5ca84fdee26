"""Rendering speed of the `scenes` source on one core."""

import os
import time
from contextlib import contextmanager
from statistics import median

from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Middle
from taskprompt.core.source import Source
from taskprompt.core.spec import resolve

LOOKS = ("clean", "worn")
FRAMES = 16


def bench_scenes(size: int = 112, rounds: int = 3) -> dict[str, float]:
    """look -> frames of size x size pixels per second, with all labels, on one core; medians over rounds, each with one
    clip of every action, in turns for each look."""
    clip = ClipSpec(frames=FRAMES, height=size, width=size)
    sources = {look: _scenes(look, size) for look in LOOKS}
    rates: dict[str, list[float]] = {look: [] for look in LOOKS}
    with one_core():
        for source in sources.values():  # load libraries and create textures
            source.load(next(source.rows()), clip, Middle())
        for _ in range(rounds):
            for look, source in sources.items():
                rows = list(source.rows())
                begin = time.perf_counter()
                for row in rows:
                    source.load(row, clip, Middle())
                rates[look].append(len(rows) * FRAMES / (time.perf_counter() - begin))
    return {look: median(found) for look, found in rates.items()}


def _scenes(look: str, size: int) -> Source:
    return resolve("scenes", Source)(look=look, clips=11, seed=7, size=size)  # type: ignore[call-arg]


@contextmanager
def one_core():
    """Pin this process to one of its cores, if the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
