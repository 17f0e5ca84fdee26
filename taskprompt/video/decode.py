"""Reading frames from a video file: by time, seeking, decoding no more than needed."""

from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from taskprompt.core.errors import LayoutError, SampleError
from taskprompt.core.source import ClipSpec
from taskprompt.core.types import Clip
from taskprompt.video._pick import pick
from taskprompt.video.container import base, length, opened, origin
from taskprompt.video.sampling import sample_times

SLACK = 1e-3  # seconds; containers round the time of a frame to as much as half a millisecond


def read_times(path: str | Path, times, short_side: int | None = None) -> Clip:
    """The frames shown at `times`, seconds from the first frame, ascending: a Clip of one frame a time.

    A frame is shown from its own time until the next begins, and the last one ever after; `Clip.times` are the
    frames' own times. `short_side`: scale larger pictures down to that many pixels. Rotation marks are obeyed.
    Raises SampleError for a file that is missing, no video, or cut off before half of the times, and LayoutError for
    times that do not ascend."""
    if (np.diff(times) < 0).any():
        raise LayoutError(f"times must ascend, found {np.asarray(times).tolist()}. Sort them.")
    with opened(path) as (container, stream):
        clip, missing, end = _read(container, stream, np.asarray(times, float), short_side)
    if missing > len(clip.times) / 2:
        raise SampleError(f"{path}: is cut off at {end:.2f} s, frames up to {max(times):.2f} s are asked for.")
    return clip


def read_clip(
    path: str | Path,
    clip: ClipSpec,
    rng: np.random.Generator | None = None,
    start: float = 0.0,
    end: float | None = None,
    short_side: int | None = None,
) -> Clip:
    """A clip of the span from `start` to `end` seconds (None: the end of the video); see `sample_times`.

    A span shorter than the clip repeats its last frame. A file that is cut off is sampled over what is there,
    where that is at least half of the span or as long as the clip. Raises SampleError otherwise."""
    with opened(path) as (container, stream):
        duration = length(container, stream)
        stop = duration if end is None else min(end, duration)
        if stop <= start:
            raise SampleError(f"{path}: lasts {duration:.2f} s, the span {start:g} to {end or duration:g} s is empty.")
        got, missing, there = _read(container, stream, sample_times(clip, start, stop, rng), short_side)
        if not missing:
            return got
        enough = min((stop - start) / 2, clip.frames / clip.fps if clip.fps else np.inf)
        if there - start < enough:
            raise SampleError(f"{path}: is cut off at {there:.2f} s of {duration:.2f} s. Fetch it again, or remove it.")
        return _read(container, stream, sample_times(clip, start, there, rng), short_side)[0]


def _read(container, stream: VideoStream, times: np.ndarray, short_side: int | None) -> tuple[Clip, int, float]:
    """The clip, how many times lie beyond a file that ended early, and the seconds at which it ended."""
    first, tick = origin(container, stream), base(stream)
    ticks = [first + int((t + SLACK) / tick) for t in times.tolist()]
    pictures: dict[int, np.ndarray] = {}
    convert = _Converter(short_side)

    def keep(frame: VideoFrame) -> None:
        if frame.pts is not None and frame.pts not in pictures:
            pictures[frame.pts] = convert(frame)

    shown, stop = pick(container, stream, ticks, keep)
    if not shown:
        raise SampleError(f"{container.name}: not one frame can be decoded. Replace the file or remove it.")
    late = float("inf") if stop is None else stop + round(0.5 / tick)
    missing = sum(t >= late for t in ticks)
    video = np.stack([pictures[pts] for pts in shown])
    own = (np.asarray(shown, np.int64) - first) * float(tick)
    return Clip(video, own), missing, float((0 if stop is None else stop - first) * tick)


class _Converter:
    """Frames of one file -> h w 3 uint8 RGB, upright, all of the size of the first."""

    def __init__(self, short_side: int | None):
        self.short_side, self.size = short_side, None
        self.reformatter = VideoReformatter()  # one for all: it keeps its tables

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        if self.size is None:
            scale = min(1.0, (self.short_side or np.inf) / min(frame.width, frame.height))
            self.size = (round(frame.width * scale), round(frame.height * scale))
        width, height = self.size
        picture = self.reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1)
        return _upright(picture.to_ndarray(), frame)


def _upright(picture: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Apply the display matrix (a b u; c d v; x y w): a point (x, y) is shown at (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return picture
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    across, down = (a, d) if abs(a) >= abs(b) else (c, b)
    if abs(a) < abs(b):
        picture = picture.transpose(1, 0, 2)
    if across < 0:
        picture = picture[:, ::-1]
    return picture[::-1] if down < 0 else picture
