"""Opening a video file: what is in it, and one clear line where it is no video."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from taskprompt.core.errors import SampleError

# Containers of still pictures, and lists of other files, which a renamed text file may turn into.
NO_VIDEO = ("image2", "_pipe", "hls", "concat", "dash", "tty", "sdp", "rtsp")


@dataclass(frozen=True, slots=True)
class Info:
    """Sizes are as the video is shown, so after its rotation mark."""

    duration: float  # seconds from the first frame to the end of the last
    fps: float  # average
    width: int  # pixels
    height: int  # pixels
    frames: int | None  # as the file says; None where it does not


def probe(path: str | Path) -> Info:
    """What is in a video file; decodes one frame. Raises SampleError where it is missing or no video."""
    with opened(path) as (container, stream):
        duration, frames = length(container, stream), stream.frames or None
        try:
            first = next(container.decode(stream))
        except (StopIteration, FFmpegError):
            raise SampleError(f"{path}: not one frame can be decoded. Replace the file or remove it.") from None
        turned = abs(first.rotation) % 180 == 90
        height, width = (first.width, first.height) if turned else (first.height, first.width)
        return Info(duration, float(rate(stream)), width, height, frames)


def frame_times(path: str | Path) -> np.ndarray:
    """Seconds at which each frame of the file is shown, ascending, the first at 0. Reads packets, decodes none."""
    with opened(path) as (container, stream):
        found = [p.pts for p in packets(container, stream)]
        ticks = [t for t in found if t is not None]
        if len(ticks) < len(found):
            return np.arange(len(found)) / float(rate(stream))
        return (np.sort(np.asarray(ticks, np.int64)) - origin(container, stream)) * float(base(stream))


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, for one thread. Raises SampleError where there is none."""
    path = Path(path)
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise SampleError(f"{path}: {what}. Give the path of a video.")
    if path.stat().st_size == 0:
        raise SampleError(f"{path}: is empty (0 bytes). Replace it or remove it.")
    try:
        container = av.open(str(path), metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SampleError(f"{path}: cannot be opened as a video: {reason}. Replace it or remove it.") from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams or any(word in container.format.name for word in NO_VIDEO):
            held = sorted({s.type for s in container.streams} - {"video"}) or [container.format.name]
            raise SampleError(f"{path}: holds no video, only {', '.join(held)}. Replace it or remove it.")
        stream = streams[0]
        if stream.codec_context is None:
            raise SampleError(f"{path}: no decoder is known for its video. Convert it, for instance to H.264.")
        # Many processes decode at once, each a clip: threads inside one decoder only get in their way.
        stream.codec_context.thread_count = 1
        yield container, stream


def packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """Packets from here on; ends at the end of the file or where it is cut off."""
    while True:
        try:
            yield from (p for p in container.demux(stream) if p.size)
            return
        except FFmpegError:
            return
        except IndexError:  # PyAV's, at the first packet of another stream that begins only later; that one is lost
            continue


def length(container: InputContainer, stream: VideoStream) -> float:
    """Seconds of video; read from the header, or counted over the packets where it does not say."""
    if stream.duration:
        return float(stream.duration * base(stream))
    if container.duration:
        # Matroska's header tells when the last frame ends, the others how long the file lasts.
        early = float(origin(container, stream) * base(stream)) if "matroska" in container.format.name else 0.0
        return container.duration / av.time_base - early
    with opened(container.name) as (again, same):  # some files that do not say cannot be rewound either
        found = [(p.pts, p.duration or 0) for p in packets(again, same)]
    ends = [pts + duration for pts, duration in found if pts is not None]
    if not ends:
        return len(found) / float(rate(stream))
    return float((max(ends) - origin(container, stream)) * base(stream))


def origin(container: InputContainer, stream: VideoStream) -> int:
    """The tick of the first frame; times are counted from there."""
    if stream.start_time is not None:
        return stream.start_time
    return round((container.start_time or 0) / av.time_base / base(stream))


def base(stream: VideoStream) -> Fraction:
    """Seconds a tick."""
    return stream.time_base or Fraction(1, 90000)


def rate(stream: VideoStream) -> Fraction:
    """Frames a second, for files that give no times of their own."""
    return stream.average_rate or stream.guessed_rate or Fraction(25)
