"""Clips that tests make: every frame shows its own number as bars, which any codec keeps readable."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

BITS = 8


def picture(number: int, height: int = 64, width: int = 96) -> np.ndarray:
    """h w 3: eight bars, white for 1, the highest bit at the left; a red strip at the top tells what is up."""
    bars = np.array([255 * (number >> (BITS - 1 - i) & 1) for i in range(BITS)], np.uint8)
    frame = np.repeat(bars[(np.arange(width) * BITS // width)][None, :, None], height, 0).repeat(3, 2)
    frame[: height // 8] = (255, 0, 0)
    return frame


def number(frame: np.ndarray) -> int:
    """The number that a picture shows."""
    height, width = frame.shape[:2]
    middle = frame[height // 4 :].mean((0, 2))
    bits = [
        middle[round((i + 0.25) * width / BITS) : round((i + 0.75) * width / BITS)].mean() > 127 for i in range(BITS)
    ]
    return sum(bit << (BITS - 1 - i) for i, bit in enumerate(bits))


def numbers(video: np.ndarray) -> list[int]:
    """t h w 3 -> the number of each frame."""
    return [number(frame) for frame in video]


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
) -> Path:
    """A clip of numbered frames; `times` in seconds make its frame rate vary."""
    tick = Fraction(1, 1000)
    times = [i / fps for i in range(frames)] if times is None else times
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1
        if len({round((b - a) * 1000) for a, b in pairwise(times)}) > 2:
            stream.codec_context.time_base = tick
        else:
            tick = Fraction(1, fps)
        if rotation:
            stream.set_display_rotation(rotation)
        for i, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")
            frame.pts, frame.time_base = round(seconds / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
