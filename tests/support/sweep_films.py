"""Films of every encoder in every container, as they are written, cut, shifted and joined."""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.codec.codec import Capabilities
from av.error import FFmpegError
from numbered import picture, remux

FRAMES, RATE = 60, 25
# 64 x 96 where the codec has it: some know only a few sizes, or none below another.
SIZES = ((64, 96), (96, 128), (144, 176), (128, 256), (200, 320), (576, 720))
X265 = "log-level=none:pools=none:frame-threads=1:no-wpp=1:keyint=12:min-keyint=12:"
CLOSED = {"flags": "+cgop", "sc_threshold": "1000000000"}
ALTREF = {"cpu-used": "4", "lag-in-frames": "16", "auto-alt-ref": "1", "g": "30"}
FAST = {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0", "lag-in-frames": "0"}
# encoder -> variant -> its options, and the pixel format where another than the encoder's first is meant
OPTIONS: dict[str, dict[str, dict[str, str]]] = {
    "libx264": {
        "no B": {"bf": "0"},
        "B closed": {"bf": "3", "x264-params": "b-adapt=0:open-gop=0"},
        "B open": {"bf": "3", "x264-params": "b-adapt=0:open-gop=1:b-pyramid=normal"},
        "refresh": {"bf": "0", "x264-params": "intra-refresh=1"},
    },
    "libx264rgb": {"no B": {"bf": "0"}, "B open": {"bf": "3", "x264-params": "b-adapt=0:open-gop=1"}},
    "libx265": {
        "no B": {"x265-params": X265 + "bframes=0"},
        "B closed": {"x265-params": X265 + "bframes=4:open-gop=0"},
        "B open": {"x265-params": X265 + "bframes=4:open-gop=1"},
    },
    "libsvtav1": {
        "low delay": {"preset": "12", "crf": "20", "svtav1-params": "lp=1:pred-struct=1"},
        "hidden": {"preset": "12", "crf": "20", "svtav1-params": "lp=1:pred-struct=2"},
    },
    "libvpx": {"fast": FAST, "hidden": ALTREF},
    "libvpx-vp9": {"fast": FAST, "hidden": ALTREF},
    **{
        name: {"no B": {"bf": "0"}, "B closed": {"bf": "2"} | CLOSED, "B open": {"bf": "2"}}
        for name in ("mpeg1video", "mpeg2video", "mpeg4")
    },
    "ffv1": {"all keys": {"g": "1"}, "groups": {"g": "12"}},
    "dnxhd": {"hr": {"profile": "dnxhr_lb"}},
    "png": {"rgb": {}, "palette": {"pixels": "pal8"}},
    "qtrle": {"rgb": {}, "grey": {"pixels": "gray"}},
}
# name -> suffix and, where that does not tell, FFmpeg's muxer
CONTAINERS: dict[str, tuple[str, str | None]] = {
    **{
        name: (f".{name}", None)
        for name in (
            *(
                "mp4",
                "mov",
                "m4v",
                "3gp",
                "3g2",
                "f4v",
                "ismv",
                "mkv",
                "webm",
                "avi",
                "ts",
                "m2ts",
                "mpg",
                "flv",
                "mxf",
            ),
            *("ogv", "asf", "wmv", "nut", "gxf", "dv", "h261", "h263", "h264", "hevc", "m2v", "ivf", "obu"),
            *("mxf", "mjpeg", "gif", "apng", "y4m", "rm", "swf", "wtv", "roq", "amv", "dnxhd", "drc"),
        )
    },
    "vob": (".vob", "vob"),
    "m1v": (".m1v", "mpeg1video"),
    "m4v raw": (".m4v", "m4v"),
}
EDITABLE = ("mp4", "mov", "m4v", "3gp", "3g2", "f4v", "ismv")
JOINABLE = ("ts", "m2ts", "mpg", "vob", "ogv", "m1v", "m2v", "m4v raw", "h261", "h263", "h264", "hevc", "mjpeg", "dv")
RAW = ("h261", "h263", "h264", "hevc", "m1v", "m2v", "m4v raw", "mjpeg", "obu", "dnxhd", "drc")  # no time stamps
TIMED = tuple(name for name in CONTAINERS if name not in RAW)
CHANGES = ("whole", "cut", "edit list", "fragments", "late", "joined")
STRICT = {"strict": "experimental"}  # takes what FFmpeg deems experimental, too
NOT_MADE = (FFmpegError, ValueError, OSError, TypeError, IndexError, AttributeError, OverflowError)


class Recipe(NamedTuple):
    """How a file is made."""

    encoder: str
    variant: str
    container: str
    change: str

    def __str__(self) -> str:
        return " | ".join(part for part in self if part)


def encoders() -> list[str]:
    """Every encoder of video that needs no device, each under its own name."""
    found = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "w")
        except ValueError:
            continue
        device = codec.capabilities & (Capabilities.hardware | Capabilities.hybrid) or name.endswith("_v4l2m2m")
        # Packets of wrapped_avframe are addresses.
        if codec.type == "video" and codec.name == name != "wrapped_avframe" and not device:
            found.append(name)
    return found


def plan() -> Iterator[tuple[str, str, str]]:
    """Encoder, variant and container of every combination, most of which no muxer takes."""
    for encoder in encoders():
        for variant in OPTIONS.get(encoder, {"": {}}):
            for container in CONTAINERS:
                yield encoder, variant, container


def make(recipe: Recipe, folder: Path) -> Path | None:
    """The file; None where the encoder or the muxer does not take it. `whole` is made first."""
    suffix, muxer = CONTAINERS[recipe.container]
    whole, path = (folder / f"{change.replace(' ', '_')}{suffix}" for change in ("whole", recipe.change))
    try:
        match recipe.change:
            case "whole":
                return _write(recipe, path)
            case "fragments":
                return _write(recipe, path, options={"movflags": "frag_keyframe+empty_moov"})
            case "joined":
                second = _write(recipe, folder / f"second{suffix}", first=FRAMES)
                path.write_bytes(whole.read_bytes() + second.read_bytes())
                return path
            case "cut":
                first = _between_keys(whole)
                return remux(whole, path, first=first, muxer=STRICT, form=muxer) if first else None
            case "edit list":  # the frames before 0 are hidden
                shift = {"avoid_negative_ts": "disabled"} | STRICT
                return remux(whole, path, shift=-0.2, muxer=shift, form=muxer)
            case _:
                return remux(whole, path, shift=5.0, muxer=STRICT, form=muxer)
    except NOT_MADE:
        return None


def changes(container: str) -> list[str]:
    """What may become of a file of this container."""
    only = {"edit list": EDITABLE, "fragments": EDITABLE, "joined": JOINABLE, "late": TIMED}
    return [change for change in CHANGES if container in only.get(change, (container,))]


def _write(recipe: Recipe, path: Path, first: int = 0, options: dict[str, str] | None = None) -> Path:
    fits = _fit(recipe.encoder, recipe.variant)
    if fits is None:
        raise ValueError(f"{recipe.encoder} does not open")
    size, pixels = fits
    with av.open(str(path), "w", format=CONTAINERS[recipe.container][1], options=STRICT | (options or {})) as container:
        stream: Any = container.add_stream(recipe.encoder, rate=RATE, options=_options(recipe.encoder, recipe.variant))
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.thread_count = 1
        for i, frame in enumerate(_frames(size, pixels, first)):
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@lru_cache(maxsize=4)
def _fit(encoder: str, variant: str) -> tuple[tuple[int, int], str] | None:
    """The first size and pixel format with which a frame can be encoded."""
    formats = [f.name for f in av.Codec(encoder, "w").video_formats or ()][:6] or ["yuv420p"]
    wanted = OPTIONS.get(encoder, {"": {}})[variant].get("pixels")
    for size in SIZES:
        for pixels in [wanted] if wanted else formats:
            try:
                context: Any = av.CodecContext.create(encoder, "w")
                context.height, context.width, context.pix_fmt = *size, pixels
                context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
                context.options, context.thread_count = _options(encoder, variant), 1
                frame = _frames(size, pixels, 0)[0]
                frame.pts = 0
                if [*context.encode(frame), *context.encode(None)]:
                    return size, pixels
            except NOT_MADE:
                continue
    return None


def _options(encoder: str, variant: str) -> dict[str, str]:
    options = {"g": "12"} | STRICT | OPTIONS.get(encoder, {"": {}})[variant]
    return {name: value for name, value in options.items() if name != "pixels"}


@lru_cache(maxsize=4)
def _frames(size: tuple[int, int], pixels: str, first: int) -> list[av.VideoFrame]:
    made: Any
    if pixels == "pal8":  # FFmpeg's scaler does not write palettes
        grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, 1)
        grey[:, 0] = 255
        made = ((picture(first + i, *size)[..., 1].copy(), grey) for i in range(FRAMES))
        return [av.VideoFrame.from_ndarray(each, format="pal8") for each in made]
    made = (av.VideoFrame.from_ndarray(picture(first + i, *size), format="rgb24") for i in range(FRAMES))
    return [frame.reformat(format=pixels) for frame in made]


def _between_keys(path: Path) -> int | None:
    """The number of a packet in the middle of a group; None where every packet is a key frame."""
    with av.open(str(path)) as container:
        keys = [p.is_keyframe for p in container.demux(container.streams.video[0]) if p.size]
    return next((i for i, key in enumerate(keys) if i >= FRAMES // 4 and not key), None)
