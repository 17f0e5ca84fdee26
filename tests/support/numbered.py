"""Clips that tests make: every frame shows its own number as bars, which any codec keeps readable."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream

BITS = 8


def picture(number: int, height: int = 64, width: int = 96) -> np.ndarray:
    """h w 3: eight bars, white for 1, the highest bit at the left; a red strip at the top tells what is up."""
    bars = np.array([255 * (number >> (BITS - 1 - i) & 1) for i in range(BITS)], np.uint8)
    frame = np.repeat(bars[(np.arange(width) * BITS // width)][None, :, None], height, 0).repeat(3, 2)
    frame[: height // 8] = (255, 0, 0)
    return frame


def bars(frame: np.ndarray) -> np.ndarray:
    """The brightness of each bar of a picture."""
    height, width = frame.shape[:2]
    middle = frame[height // 4 :].mean((0, 2))
    inner = [slice(round((i + 0.25) * width / BITS), round((i + 0.75) * width / BITS)) for i in range(BITS)]
    return np.array([middle[part].mean() for part in inner])


def number(frame: np.ndarray) -> int:
    """The number that a picture shows."""
    return sum(bool(bar > 127) << (BITS - 1 - i) for i, bar in enumerate(bars(frame)))


def numbers(video: Iterable[np.ndarray]) -> list[int]:
    """t h w 3 -> the number of each frame."""
    return [number(frame) for frame in video]


def in_order(path: Path) -> Iterator[np.ndarray]:
    """Every frame of the first stream, h w 3, decoded from the start to the end: what FFmpeg and players show."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in chain((p for p in container.demux(stream) if p.size), [None]):
            with suppress(FFmpegError):
                yield from [frame.to_ndarray(format="rgb24") for frame in stream.codec_context.decode(packet)]


def write(
    path: Path,
    codec: str = "libx264",
    frames: int = 60,
    fps: int = 30,
    size: tuple[int, int] = (64, 96),
    times: list[float] | None = None,
    rotation: int = 0,
    muxer: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    first: int = 0,
    aspect: tuple[int, int] | None = None,
    no_b: int = 0,
    pixels: str = "yuv420p",
) -> Path:
    """A clip of frames numbered from `first`; `times` in seconds make its frame rate vary. aspect: of a pixel.

    no_b: so many frames at the start are no B-frames, whatever the options say."""
    tick = Fraction(1, 1000)
    times = [i / fps for i in range(frames)] if times is None else times
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.thread_count = 1
        if len({round((b - a) * 1000) for a, b in pairwise(times)}) > 2:
            stream.codec_context.time_base = tick
        else:
            tick = Fraction(1, fps)
        if aspect:
            stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        if rotation:
            stream.set_display_rotation(rotation)
        for i, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(first + i, *size), format="rgb24")
            frame.pts, frame.time_base = round(seconds / tick), tick
            if i < no_b:
                frame.pict_type = PictureType.P if i else PictureType.I
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def remux(
    source: Path,
    path: Path,
    first: int = 0,
    shift: float = 0.0,
    lost: tuple[int, ...] = (),
    sound: tuple[float, float] | None = None,
    muxer: dict[str, str] | None = None,
    form: str | None = None,
) -> Path:
    """The same packets in another file: from packet `first` on, `shift` seconds later, without those that are lost.

    sound: seconds at which a silent stream begins and ends. form: FFmpeg's muxer, where the suffix does not tell."""
    with av.open(str(source)) as read, av.open(str(path), "w", format=form, options=muxer or {}) as written:
        film = read.streams.video[0]
        stream = written.add_stream_from_template(film)
        later = round(shift / (film.time_base or 1))
        if sound:
            for packet in _silence(written, *sound):
                written.mux(packet)
        for i, packet in enumerate(p for p in read.demux(film) if p.size):
            if i < first or i in lost:
                continue
            packet.pts = None if packet.pts is None else packet.pts + later
            packet.dts = None if packet.dts is None else packet.dts + later
            packet.stream = stream
            written.mux(packet)
    return path


def _silence(container, start: float, end: float) -> list[av.Packet]:
    stream = container.add_stream("aac", rate=16000, layout="mono")
    made = []
    for i in range(round(start * 15.625), round(end * 15.625)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 1024 * i, Fraction(1, 16000)
        made += stream.encode(frame)
    return made + stream.encode(None)
