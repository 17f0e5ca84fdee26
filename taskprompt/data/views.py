"""Views of label-free tasks, and test clips: how many a task has, and whether what was read is what was asked for."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from taskprompt.core.clip import ClipSpec, ClipView
from taskprompt.core.errors import SourceError
from taskprompt.core.task import Task
from taskprompt.core.types import Clip, Sample


def count_views(tasks: Mapping[str, Task], clip: ClipSpec, test_clips: int = 1) -> dict[str, int]:
    """task -> number of rows that each video has for this task only: its views, or test clips. Tasks that read the
    clip itself are not in it. Raises LayoutError."""
    counts = {n: len(t.checked_views(n, clip, np.random.default_rng(0))) for n, t in tasks.items() if not t.labelled}
    counts |= {n: test_clips for n, t in tasks.items() if test_clips > 1 and t.has_test_clips()}
    return {n: count for n, count in counts.items() if count}


def ends_early(clip: Clip) -> bool:
    """Is the video too short for the clip, so that the last frame is repeated?

    If the clip has a higher frame rate than the video, all frames repeat, and the last no more often than the
    others."""
    runs = np.diff(np.flatnonzero(np.concatenate([[True], np.diff(clip.times) != 0, [True]])))
    return bool(runs[-1] > max(runs[:-1], default=1))


def check_span(source: str, sample: Sample, view: ClipView, spec: ClipSpec) -> None:
    """Raises SourceError if the frames do not span the requested duration: the label would be wrong."""
    times = sample.clip.times
    if view.span == 1 or spec.fps is None or len(times) < 2 or ends_early(sample.clip):
        return
    wanted, found = (len(times) - 1) / spec.fps, float(times[-1] - times[0])
    if abs(found - wanted) > float(np.diff(times).max()) + 1e-3:
        raise SourceError(
            f"source {source!r}, sample {sample.key!r}: a view of {wanted:.3g} s was asked for, found {found:.3g} s: "
            "the source does not show its clips at another speed. Leave it out of `sources` of the task."
        )


def rearranged(sample: Sample, frames: tuple[int, ...] | None) -> Sample:
    """A sample without labels, with the given frames in the given order."""
    if frames is None:
        return sample
    clip = sample.clip
    return dataclasses.replace(
        sample, clip=dataclasses.replace(clip, video=clip.video[[*frames]], times=clip.times[[*frames]])
    )
