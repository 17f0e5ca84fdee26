"""Opening a video file: choice of the video stream, its time base, and errors for files without video."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from taskprompt.core.errors import SampleError
from taskprompt.video.formats import VIDEO_DECODERS, whitelists

# Image streams that are not the video.
STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


@contextmanager
def opened(path: str | Path, formats: tuple[str, ...] = ()) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, for one thread. formats: FFmpeg demuxers and decoders to allow in addition to
    `formats.py`.

    Raises SampleError if there is no video."""
    path = Path(path)
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise SampleError(f"{path}: {what}. Give the path of a video.")
    if path.stat().st_size == 0:
        raise SampleError(f"{path}: is empty (0 bytes). Replace it or remove it.")
    with ExitStack() as stack:
        container = stack.enter_context(_container(path, formats, stack))
        stream = _video_stream(path, container, formats)
        # Many processes decode in parallel, so threads inside a decoder would not help.
        stream.codec_context.thread_count = 1
        yield container, stream


def _container(path: Path, formats: tuple[str, ...], stack: ExitStack) -> InputContainer:
    # An absolute path, since FFmpeg would interpret a prefix with a colon as a protocol.
    source = str(path.absolute())
    try:
        if not _is_utf8(source):  # PyAV supports only UTF-8 names
            source = stack.enter_context(path.open("rb"))
        return av.open(source, "r", metadata_errors="replace", options=whitelists(formats))
    except ArgumentError:
        raise SampleError(
            f"{path}: is not a video in an allowed container. Convert it, for instance to mp4, or add FFmpeg's "
            "demuxer to `clip.formats`."
        ) from None
    except (FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SampleError(f"{path}: cannot be opened as a video: {reason}. Replace it or remove it.") from None


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _video_stream(path: Path, container: InputContainer, formats: tuple[str, ...]) -> VideoStream:
    """The stream that players show: of those marked as default, or of all, the one with most pixels per second."""
    streams = [s for s in container.streams.video if not s.disposition & STILL]
    if not streams:
        held = sorted({s.type for s in container.streams} - {"video"}) or [container.format.name]
        raise SampleError(f"{path}: contains no video, only {', '.join(held)}. Replace it or remove it.")
    known = [s for s in streams if s.codec_context is not None]
    if not known:
        raise SampleError(f"{path}: no decoder is known for its video. Convert it, for instance to H.264.")
    stream = max(known, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height * rate(s)))
    if stream.codec_context.codec.name not in (*VIDEO_DECODERS, *formats):
        raise SampleError(
            f"{path}: its video is {stream.codec_context.name}, whose decoder is not allowed. Convert it, "
            "for instance to H.264, or add the decoder to `clip.formats`."
        )
    return stream


def packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """Packets from the current position, up to the end of the file or its truncation."""
    while True:
        try:
            yield from (p for p in container.demux(stream) if p.size)
            return
        except FFmpegError:
            return
        except IndexError:  # raised by PyAV at the first packet of a stream that begins later; only that packet is lost
            continue


def is_hidden(packet: av.Packet, stream: VideoStream) -> bool:
    """Whether its frame is decoded but never shown. Edit lists flag such packets, which FFmpeg shows if they are of a
    GIF; VP8 has a flag in a frame's first byte."""
    name = stream.codec_context.name
    return (packet.is_discard and name != "gif") or (name in ("vp8", "libvpx") and not memoryview(packet)[0] & 0x10)


def base(stream: VideoStream) -> Fraction:
    """Seconds per tick."""
    return stream.time_base or Fraction(1, 90000)


def rate(stream: VideoStream) -> Fraction:
    """Frames per second, for files without time stamps."""
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def zero(container: InputContainer, stream: VideoStream) -> int:
    """The tick at which the file starts for players: that of its first frame or sound.

    Audio before 0 only primes its decoder and is not played, so it is ignored."""
    start = round((container.start_time or 0) / av.time_base / base(stream))
    return start if start >= 0 else min(0, stream.start_time or 0)


def origin(container: InputContainer, stream: VideoStream) -> int:
    """The tick at which the video stream starts, according to the file."""
    return stream.start_time if stream.start_time is not None else zero(container, stream)


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width over height of a pixel; 1 if the file does not state it, or it is almost 1."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if abs(aspect - 1) > Fraction(1, 50) and Fraction(1, 10) < aspect < 10 else Fraction(1)
