"""Which moments of a video a clip shows."""

import numpy as np

from taskprompt.core.source import ClipSpec


def sample_times(clip: ClipSpec, start: float, end: float, rng: np.random.Generator | None) -> np.ndarray:
    """Seconds, `frames` of them, ascending, in [start, end).

    With `fps`: a window of frames / fps seconds at a random place, or in the middle where rng is None; a span
    shorter than the window is shown from its start and its last moment repeated. Without: one moment in each of
    `frames` equal parts of the span, random, or the middle of the part (the sampling of Something-Something)."""
    count = clip.frames
    if clip.fps is None:
        inside = np.full(count, 0.5) if rng is None else rng.random(count)
        return start + (np.arange(count) + inside) * (end - start) / count
    free = max(0.0, end - start - count / clip.fps)
    begin = start + free * (0.5 if rng is None else rng.random())
    last = max(start, end - 2e-3)  # just before the end, for there the next frame begins
    return np.minimum(begin + np.arange(count) / clip.fps, last)
