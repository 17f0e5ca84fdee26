"""Times of the frames in a video file.

The packets' time stamps are used if they are reliable. If packets and shown frames may differ (recordings that begin
between key frames, joined streams, time stamps in decoding order), the file is decoded once and the result cached.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from taskprompt.core.errors import SampleError
from taskprompt.video._open import base, is_hidden, opened, origin, packets, pixel_aspect, rate, zero
from taskprompt.video._stamps import REORDER, ascending, counted, filled

FIRST = 8  # frames to decode to verify the packets' time stamps
# Containers with one time stamp per shown frame, and with the end of the video in the header.
TRUSTED = {"mov", "matroska", "avi"}
# Rule of FFmpeg and other players: in containers that can be joined, a jump of more than 10 s is a new recording.
JOINABLE, JUMP = {"mpegts", "mpeg", "ogg"}, 10


@dataclass(frozen=True, slots=True)
class Info:
    """Facts of a video file. Sizes are for upright frames with square pixels."""

    duration: float  # seconds from the start of the first frame to the end of the last
    fps: float  # average
    width: int  # pixels
    height: int  # pixels
    frames: int | None  # as stated by the file; None if it is not


@dataclass(frozen=True, slots=True)
class Timeline:
    """The n shown frames of a file, in order."""

    ticks: np.ndarray  # n, int64: the decoder's time stamps; they may repeat or fall
    seconds: np.ndarray  # n, strictly ascending, from the start of the file
    end: float  # seconds: the end of the last frame
    findable: bool  # time stamps identify frames, and decoding may start at any key frame

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """k ascending times -> the index of the frame shown then; the first one also before its time."""
        return np.maximum(np.searchsorted(self.seconds, seconds, side="right") - 1, 0)


def probe(path: str | Path, formats: tuple[str, ...] = ()) -> Info:
    """Facts of a video file; decodes one frame. Raises SampleError if it is missing or not a video."""
    with opened(path, formats) as (container, stream):
        start, end = span(container, stream, formats, trusted(container, stream))
        try:
            first = next(container.decode(stream))
        except (StopIteration, FFmpegError):
            raise SampleError(f"{path}: not one frame can be decoded. Replace the file or remove it.") from None
        width, height = square(first.width, first.height, pixel_aspect(stream))
        width, height = (height, width) if abs(first.rotation) % 180 == 90 else (width, height)
        return Info(end - start, float(rate(stream)), width, height, stream.frames or None)


def frame_times(path: str | Path, formats: tuple[str, ...] = (), exact: bool = False) -> np.ndarray:
    """Seconds from the start of the file at which each shown frame begins, ascending.

    Reads packets, and decodes all frames if packets are not reliable or `exact` is set. Raises SampleError."""
    return timeline(path, formats, exact).seconds


def timeline(path: str | Path, formats: tuple[str, ...] = (), exact: bool = False) -> Timeline:
    """See `frame_times`; cached for recent files. Raises SampleError if nothing can be decoded."""
    return _timeline(str(path), formats, exact, _state(path))


def _state(path: str | Path) -> tuple[int, int]:
    """A cache key that changes with the file."""
    found = Path(path).stat() if Path(path).is_file() else None
    return (found.st_mtime_ns, found.st_size) if found else (0, 0)


@lru_cache(maxsize=512)
def _timeline(path: str, formats: tuple[str, ...], exact: bool, _: tuple[int, int]) -> Timeline:
    with opened(path, formats) as (container, stream):
        if not exact and (found := _from_packets(container, stream, formats)) is not None:
            return found
    with opened(path, formats) as (container, stream):
        return _from_frames(container, stream)


def trusted(container: InputContainer, stream: VideoStream) -> bool:
    """Whether frames can be found by the packets' time stamps without reading the whole file. Reads the first
    packet."""
    kind = container.format.name.split(",")[0]
    first = next(packets(container, stream), None)
    if first is not None and first.has_sidedata("palette"):  # it is sent once; the decoder keeps it
        decoded(stream.codec_context, first)
        stream.codec_context.flush_buffers()
    with suppress(FFmpegError):
        container.seek(min(0, origin(container, stream)), stream=stream)
    # An AVI numbers its packets in decoding order, and FFmpeg numbers those of H.264 differently after a seek.
    guessed = kind == "avi" and _may_reorder(stream)
    return kind in TRUSTED and not guessed and first is not None and first.is_keyframe and first.pts is not None


def _may_reorder(stream: VideoStream) -> bool:
    """May frames be shown in another order than that of their packets? H.264 and HEVC may tell only when it happens."""
    return stream.codec_context.reorder_depth > 0 or stream.codec_context.name in ("h264", "hevc")


def span(container: InputContainer, stream: VideoStream, formats: tuple[str, ...], trust: bool) -> tuple[float, float]:
    """Seconds from the start of the file at which the video starts and ends, as far as known without decoding.

    trust: the result of `trusted`."""
    if not trust:
        line = timeline(container.name, formats)
        return float(line.seconds[0]), line.end
    tick, start = base(stream), zero(container, stream)
    first = float((origin(container, stream) - start) * tick)
    matroska = "matroska" in container.format.name
    if stream.duration and not matroska:
        return first, first + float(stream.duration * tick)
    # Matroska's header gives the end of the file over all streams; others give its duration.
    early = 0 if matroska else start
    whole = float((container.duration or 0) / av.time_base + early * tick)
    if not whole or len(container.streams) > 1:
        end, last = _tail(container.name, stream.index, formats, _state(container.name))
        whole = end if last > whole - 1 else whole  # else the file is truncated, which is found when it is read
    return first, whole - float(start * tick)


def square(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """The size with square pixels, for this pixel aspect; no side becomes shorter."""
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def decoded(decoder: av.VideoCodecContext, packet: av.Packet | None) -> list[VideoFrame]:
    """The decoded frames; none for a damaged packet, as in players."""
    try:
        return decoder.decode(packet)
    except FFmpegError:
        return []


def frames_in_order(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every frame of a newly opened file, in the order in which players show them."""
    for packet in chain(packets(container, stream), [None]):
        yield from decoded(stream.codec_context, packet)


@lru_cache(maxsize=4096)
def _tail(path: str, index: int, formats: tuple[str, ...], _: tuple[int, int]) -> tuple[float, float]:
    """Seconds, in the file's own time, at which one stream ends, and at which the last of all streams ends."""
    for whole in (False, True):  # from the last key frame on; if there is none, over the whole file
        with opened(path, formats) as (container, stream):
            if not whole:
                with suppress(FFmpegError):
                    container.seek(round((container.duration or 0) / av.time_base / base(stream)), stream=stream)
            ends: dict[int, float] = {}
            with suppress(FFmpegError, IndexError):
                for packet in container.demux([s for s in container.streams if s.type in ("video", "audio")]):
                    if packet.pts is not None and packet.time_base is not None:
                        end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                        ends[packet.stream_index] = max(ends.get(packet.stream_index, 0), end)
        if index in ends:
            break
    return ends.get(index, 0.0), max(ends.values(), default=0.0)


def _from_packets(container: InputContainer, stream: VideoStream, formats: tuple[str, ...]) -> Timeline | None:
    """The timeline from packets; None if they are not reliable."""
    if not trusted(container, stream) and container.format.name == "avi":
        return None
    read = list(_facts(container, stream))
    ticks = [pts for pts, shown, _, _ in read if shown and pts is not None]
    if not ticks or any(pts is None or corrupt for pts, _, _, corrupt in read) or len(set(ticks)) < len(ticks):
        return None
    order = np.argsort(np.asarray(ticks, np.int64), kind="stable")
    stamps = np.asarray(ticks, np.int64)[order]
    moved = np.abs(order - np.arange(len(order))).max()
    if not read[0][2] or stamps[0] < read[0][0] or moved > REORDER:
        return None
    if container.format.name == "mxf" and not moved and _may_reorder(stream):
        return None  # FFmpeg writes no order of showing for some codecs, and the first frames need not tell
    if container.format.name in JOINABLE and (np.diff(stamps) * float(base(stream)) > JUMP).any():
        return None
    with opened(container.name, formats) as (again, same):
        shown = [frame.pts for frame in islice(frames_in_order(again, same), FIRST)]
    if shown != stamps[: len(shown)].tolist() or len(shown) < min(FIRST, len(ticks)):
        return None
    return _line(container, stream, stamps, stamps, True)


def _facts(container: InputContainer, stream: VideoStream) -> Iterator[tuple[int | None, bool, bool, bool]]:
    """For each packet: its time stamp, and whether it is shown, a key frame, damaged."""
    for packet in packets(container, stream):
        yield packet.pts, not is_hidden(packet, stream), packet.is_keyframe, packet.is_corrupt


def _from_frames(container: InputContainer, stream: VideoStream) -> Timeline:
    """Decode every frame, and keep only the times."""
    shown = [(frame.pts, frame.pict_type == PictureType.I) for frame in frames_in_order(container, stream)]
    if not shown:
        raise SampleError(f"{container.name}: not one frame can be decoded. Replace the file or remove it.")
    tick = base(stream)
    step = max(1, round(1 / rate(stream) / tick))
    raw = filled([pts for pts, _ in shown], step, origin(container, stream))
    far = round(JUMP / tick) if container.format.name in JOINABLE else None
    times = ascending(raw, step, far, max(1, min(step // 2, round(0.002 / tick))))
    if container.format.name == "avi":  # its stamps are packet numbers, and the first shown packet may be the second
        times = times - times[0] + origin(container, stream)
    # A recording that begins between key frames must be decoded in order.
    return _line(container, stream, raw, times, shown[0][1] and bool((raw == times).all()))


def _line(container, stream: VideoStream, ticks: np.ndarray, shown: np.ndarray, findable: bool) -> Timeline:
    seconds = (shown - zero(container, stream)) * float(base(stream))
    last = np.median(np.diff(seconds)) if len(seconds) > 1 else 1 / float(rate(stream))
    findable = findable and not counted(container, ticks)
    return Timeline(ticks, seconds, float(seconds[-1] + last), findable)
