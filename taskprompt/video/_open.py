"""Opening a video file: which stream is the film, its clock, and one clear line where there is no video."""

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

# Pictures in a file that are not its film.
STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


@contextmanager
def opened(path: str | Path, formats: tuple[str, ...] = ()) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its film, for one thread. formats: FFmpeg demuxers and decoders allowed beside `formats.py`.

    Raises SampleError where there is none."""
    path = Path(path)
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise SampleError(f"{path}: {what}. Give the path of a video.")
    if path.stat().st_size == 0:
        raise SampleError(f"{path}: is empty (0 bytes). Replace it or remove it.")
    with ExitStack() as stack:
        container = stack.enter_context(_container(path, formats, stack))
        stream = _film(path, container, formats)
        # Many processes decode at once, each a clip: threads inside one decoder only get in their way.
        stream.codec_context.thread_count = 1
        yield container, stream


def _container(path: Path, formats: tuple[str, ...], stack: ExitStack) -> InputContainer:
    # An absolute path: what stands before a colon at the start of a relative one would be taken for a protocol.
    source = str(path.absolute())
    try:
        if not _is_utf8(source):  # PyAV passes on no other names
            source = stack.enter_context(path.open("rb"))
        return av.open(source, "r", metadata_errors="replace", options=whitelists(formats))
    except ArgumentError:
        raise SampleError(
            f"{path}: is no video in a container that is allowed. Convert it, for instance to mp4, or name FFmpeg's "
            "demuxer in `clip.formats`."
        ) from None
    except (FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SampleError(f"{path}: cannot be opened as a video: {reason}. Replace it or remove it.") from None


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _film(path: Path, container: InputContainer, formats: tuple[str, ...]) -> VideoStream:
    """The stream that players show: of those marked as default, or of all, the one of most pixels a second."""
    streams = [s for s in container.streams.video if not s.disposition & STILL]
    if not streams:
        held = sorted({s.type for s in container.streams} - {"video"}) or [container.format.name]
        raise SampleError(f"{path}: holds no video, only {', '.join(held)}. Replace it or remove it.")
    known = [s for s in streams if s.codec_context is not None]
    if not known:
        raise SampleError(f"{path}: no decoder is known for its video. Convert it, for instance to H.264.")
    stream = max(known, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height * rate(s)))
    if stream.codec_context.codec.name not in (*VIDEO_DECODERS, *formats):
        raise SampleError(
            f"{path}: its video is {stream.codec_context.name}, whose decoder is not among those allowed. Convert it, "
            "for instance to H.264, or name the decoder in `clip.formats`."
        )
    return stream


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


def is_hidden(packet: av.Packet, stream: VideoStream) -> bool:
    """Is its frame decoded but never shown? Edit lists mark such packets; VP8 says so in the first byte of a frame."""
    return packet.is_discard or (stream.codec_context.name in ("vp8", "libvpx") and not memoryview(packet)[0] & 0x10)


def base(stream: VideoStream) -> Fraction:
    """Seconds a tick."""
    return stream.time_base or Fraction(1, 90000)


def rate(stream: VideoStream) -> Fraction:
    """Frames a second, for files that give no times of their own."""
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def zero(container: InputContainer, stream: VideoStream) -> int:
    """The tick at which the file starts, as players count: that of its first picture or sound.

    Sound before 0 only primes its decoder and is not heard, so that 0 stays 0 there."""
    start = round((container.start_time or 0) / av.time_base / base(stream))
    return start if start >= 0 else min(0, stream.start_time or 0)


def origin(container: InputContainer, stream: VideoStream) -> int:
    """The tick at which the film starts, as the file says."""
    return stream.start_time if stream.start_time is not None else zero(container, stream)


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width over height of a pixel as it is shown; 1 where the file does not say, or says almost 1."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if abs(aspect - 1) > Fraction(1, 50) and Fraction(1, 10) < aspect < 10 else Fraction(1)
