"""Sampling of a clip's frame times from a video."""

import numpy as np

from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Moment, positions


def sample_times(clip: ClipSpec, start: float, end: float, moment: Moment) -> np.ndarray:
    """Seconds, `frames` of them, ascending, in [start, end).

    With `fps`: a window of frames / fps seconds, placed in the span by `moment`: at random, in the middle, or as one of
    several test clips. A span shorter than the window is sampled from its start, and its last frame is repeated.
    Without `fps`: one time in each of `frames` equal segments of the span, placed in it by `moment` (as for
    Something-Something)."""
    count = clip.frames
    if clip.fps is None:
        return start + (np.arange(count) + positions(moment, count)) * (end - start) / count
    free = max(0.0, end - start - count / clip.fps)
    begin = start + free * positions(moment, 1)[0]
    last = max(start, end - 2e-3)  # just before the end, where the next frame begins
    return np.minimum(begin + np.arange(count) / clip.fps, last)
