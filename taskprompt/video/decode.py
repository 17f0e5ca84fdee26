"""Reading frames from a video file by time, with seeking and minimal decoding.

All times are seconds from the start of the file, which is its first frame or sound, as in players.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import LayoutError, SampleError
from taskprompt.core.moment import Middle, Moment
from taskprompt.core.types import Clip
from taskprompt.video._open import base, opened, pixel_aspect, zero
from taskprompt.video._pick import Unreliable, pick
from taskprompt.video.container import frames_in_order, span, square, timeline, trusted
from taskprompt.video.sampling import sample_times

MIDDLE = Middle()
SLACK = 1e-3  # seconds; containers round times by up to half a millisecond


def _unnamed(kind: type[Type], value: int) -> Type:
    """A type of side data that PyAV has no name for, such as EXIF.

    Without it, a frame with such data raises ValueError when its rotation is read: PyAV looks up the types of all."""
    made = object.__new__(kind)
    made._name_, made._value_ = f"TYPE_{value}", value
    return made


Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]


def read_times(path: str | Path, times, short_side: int | None = None, formats: tuple[str, ...] = ()) -> Clip:
    """The frames shown at `times`, seconds from the start of the file, ascending: a Clip with one frame per time.

    A frame is shown from its own time until the next begins, the first one also before, and the last one ever after;
    `Clip.times` are the frames' own times. `short_side`: scale larger frames down to this many pixels. Rotation
    metadata is applied, and pixels are made square. formats: see `ClipSpec.formats`. Raises SampleError for a file that
    is missing, not a video, or truncated before half of the times, and LayoutError for times that do not ascend."""
    if (np.diff(times) < 0).any():
        raise LayoutError(f"times must ascend, found {np.asarray(times).tolist()}. Sort them.")
    reader = _Reader(path, short_side, True, formats)
    with opened(path, formats) as (container, stream):
        clip, missing, end = reader.read(container, stream, np.asarray(times, float), trusted(container, stream))
    if missing > len(clip.times) / 2:
        raise SampleError(f"{path}: is cut off at {end:.2f} s, frames up to {max(times):.2f} s are asked for.")
    return clip


def read_clip(
    path: str | Path,
    clip: ClipSpec,
    moment: Moment = MIDDLE,
    start: float = 0.0,
    end: float | None = None,
    short_side: int | None = None,
    stored: bool = False,
) -> Clip:
    """A clip of the span from `start` to `end` seconds (None: the end of the video); see `sample_times`.

    A span shorter than the clip repeats its last frame. A truncated file is sampled over its readable part, if that is
    at least half of the span or as long as the clip. `stored`: keep non-square pixels, with their aspect in
    `Clip.aspect`. Raises SampleError if there is no frame in the span."""
    reader = _Reader(path, short_side, not stored, clip.formats)
    with opened(path, clip.formats) as (container, stream):
        trust = trusted(container, stream)
        first, last = span(container, stream, clip.formats, trust)
        begin, stop = max(start, first), last if end is None else min(end, last)
        if stop <= begin:
            asked = f"{start:g} to {last if end is None else end:.4g} s"
            raise SampleError(f"{path}: has frames from {first:.2f} to {last:.2f} s; the span {asked} has none.")
        got, missing, there = reader.read(container, stream, sample_times(clip, begin, stop, moment), trust)
        if not missing:
            return got
        enough = min((stop - begin) / 2, clip.frames / clip.fps if clip.fps else np.inf)
        if there - begin < enough:
            raise SampleError(f"{path}: is cut off at {there:.2f} s of {last:.2f} s. Copy it again, or remove it.")
        return reader.read(container, stream, sample_times(clip, begin, there, moment), trust)[0]


class _Reader:
    """Frames of one file by their times."""

    def __init__(self, path: str | Path, short_side: int | None, square: bool, formats: tuple[str, ...]):
        self.path, self.short_side, self.square, self.formats = path, short_side, square, formats

    def read(self, container, stream: VideoStream, times: np.ndarray, trust: bool) -> tuple[Clip, int, float]:
        """The clip, the number of times after the end of a truncated file, and the seconds at which it ended."""
        if trust:
            try:
                return self._by_packets(container, stream, times)
            except Unreliable:
                pass
        return self._by_timeline(container, stream, times)

    def _by_packets(self, container, stream: VideoStream, times: np.ndarray) -> tuple[Clip, int, float]:
        first, tick = zero(container, stream), base(stream)
        ticks = [first + int((t + SLACK) / tick) for t in times.tolist()]
        pictures = _Pictures(self.short_side, self._aspect(stream))
        shown, stop = pick(container, stream, ticks, pictures.keep)
        late = float("inf") if stop is None else stop + round(0.5 / tick)
        own = (np.asarray(shown, np.int64) - first) * float(tick)
        end = float((0 if stop is None else stop - first) * tick)
        return self._clip(stream, pictures, shown, own), sum(t >= late for t in ticks), end

    def _by_timeline(self, container, stream: VideoStream, times: np.ndarray) -> tuple[Clip, int, float]:
        """For files whose packets are not reliable."""
        # Decode all frames if the packets were trusted first and then found to be wrong.
        for exact in (False, True):
            line = timeline(self.path, self.formats, exact)
            at = line.at(times + SLACK)
            pictures, wanted = _Pictures(self.short_side, self._aspect(stream)), line.ticks[at].tolist()
            try:
                found = line.findable and pick(container, stream, wanted, pictures.keep)[0] == wanted
            except Unreliable:
                found = False
            if found:
                break
        else:
            wanted = at.tolist()
            pictures = self._in_order(stream, wanted)
        clip = self._clip(stream, pictures, wanted, line.seconds[at])
        return clip, int((times >= line.end + 0.5).sum()), line.end

    def _in_order(self, stream: VideoStream, wanted: list[int]) -> "_Pictures":
        pictures = _Pictures(self.short_side, self._aspect(stream))
        with opened(self.path, self.formats) as (container, again):
            for i, frame in enumerate(frames_in_order(container, again)):
                if i in wanted:
                    pictures.keep(i, frame)
                if i == wanted[-1]:
                    return pictures
        raise SampleError(f"{self.path}: changes while it is read. Try again.")

    def _aspect(self, stream: VideoStream) -> Fraction:
        return pixel_aspect(stream) if self.square else Fraction(1)

    def _clip(self, stream: VideoStream, pictures: "_Pictures", shown: list[int], times: np.ndarray) -> Clip:
        aspect = 1.0 if self.square else float(pixel_aspect(stream))
        turned = pictures.turned
        return Clip(np.stack([pictures.kept[i] for i in shown]), times, 1 / aspect if turned else aspect)


class _Pictures:
    """Frames of one file -> h w 3 uint8 RGB, upright, all of the size of the first."""

    def __init__(self, short_side: int | None, aspect: Fraction):
        self.short_side, self.aspect, self.size, self.turned = short_side, aspect, None, False
        self.kept: dict[int, np.ndarray] = {}
        self.reformatter = VideoReformatter()  # shared: it caches its tables

    def keep(self, name: int, frame: VideoFrame) -> None:
        """Convert a frame, once, under a name."""
        if name in self.kept:
            return
        if self.size is None:
            width, height = square(frame.width, frame.height, self.aspect)
            scale = min(1.0, (self.short_side or np.inf) / min(width, height))
            self.size = (max(1, round(width * scale)), max(1, round(height * scale)))
            self.turned = abs(frame.rotation) % 180 == 90
        width, height = self.size
        picture = self.reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1)
        self.kept[name] = _upright(picture.to_ndarray(), frame)


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
