"""Which times of a video a clip shows."""

import numpy as np

from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Moment, positions


def sample_times(clip: ClipSpec, start: float, end: float, moment: Moment) -> np.ndarray:
    """Seconds, `frames` of them, ascending, in [start, end).

    With `fps`: a window of frames / fps seconds, placed in the span as `moment` says: at random, in the middle, or as
    one of several test clips. A span shorter than the window is shown from its start and its last frame repeated.
    Without: one time in each of `frames` equal parts of the span, placed in its part likewise (the sampling of
    Something-Something)."""
    count = clip.frames
    if clip.fps is None:
        return start + (np.arange(count) + positions(moment, count)) * (end - start) / count
    free = max(0.0, end - start - count / clip.fps)
    begin = start + free * positions(moment, 1)[0]
    last = max(start, end - 2e-3)  # just before the end, for there the next frame begins
    return np.minimum(begin + np.arange(count) / clip.fps, last)
