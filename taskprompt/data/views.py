"""Views: a label-free task's own cuts of a clip, read from its source as the clip is."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from taskprompt.core.clip import ClipSpec, ClipView
from taskprompt.core.errors import SourceError
from taskprompt.core.task import Task
from taskprompt.core.types import Clip, Sample


def count_views(tasks: Mapping[str, Task], clip: ClipSpec, test_clips: int = 1) -> dict[str, int]:
    """task -> how many rows of its own it has of every video: views, or test clips. Others read the clip itself.

    Raises LayoutError."""
    counts = {n: len(t.checked_views(n, clip, np.random.default_rng(0))) for n, t in tasks.items() if not t.labelled}
    counts |= {n: test_clips for n, t in tasks.items() if test_clips > 1 and has_test_clips(t)}
    return {n: count for n, count in counts.items() if count}


def has_test_clips(task: Task) -> bool:
    """Are its outputs for several test clips of a video merged? Not where its head reads what lies in one of them."""
    return task.labelled and task.of_video and not task.inputs


def ends_early(clip: Clip) -> bool:
    """Does the video end before the clip does, so that its last frame is repeated?

    Where a clip shows frames more often than its video has them, all repeat; the last is then shown no more often than
    the others."""
    runs = np.diff(np.flatnonzero(np.concatenate([[True], np.diff(clip.times) != 0, [True]])))
    return bool(runs[-1] > max(runs[:-1], default=1))


def check_span(source: str, sample: Sample, view: ClipView, spec: ClipSpec) -> None:
    """Raises SourceError where the frames do not span the seconds that a view asks for: its label would be wrong."""
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
    """A sample without labels, with these of its frames in this order."""
    if frames is None:
        return sample
    clip = sample.clip
    return dataclasses.replace(
        sample, clip=dataclasses.replace(clip, video=clip.video[[*frames]], times=clip.times[[*frames]])
    )
