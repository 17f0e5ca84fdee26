"""Valid films of every container, and all valid inputs together."""

import io
from typing import Any

import numpy as np
from fuzz_seeds import (
    Seed,
    csv,
    label_json,
    npy,
    npz,
    overrides,
    png,
    pth,
    recipes,
    runs,
    safetensors,
    stored,
    tables,
)


def clips() -> dict[str, list[Seed]]:
    """container -> films of it: with and without B-frames, edit lists, fragments."""
    import av

    wanted = {
        "mp4": [("mpeg4", {}), ("libx264", {"bf": "2"}), ("libx264", {"movflags": "frag_keyframe+empty_moov"})],
        "mov": [("qtrle", {}), ("prores", {})],
        "mkv": [("libx264", {"bf": "2"}), ("ffv1", {})],
        "avi": [("mpeg4", {"bf": "2"}), ("mjpeg", {})],
        "ts": [("mpeg2video", {"bf": "2"}), ("libx264", {})],
        "webm": [("libvpx", {}), ("libvpx-vp9", {})],
        "gif": [("gif", {})],
    }
    found: dict[str, list[Seed]] = {}
    for suffix, films in wanted.items():
        for codec, options in films:
            if codec not in av.codecs_available:
                continue
            found.setdefault(suffix, []).append(Seed(film(suffix, codec, options)))
    return found


def film(suffix: str, codec: str, options: dict[str, str], frames: int = 12) -> bytes:
    """A film of a moving square."""
    import av

    formats = {"ts": "mpegts", "mkv": "matroska"}
    pixels = {"gif": "rgb8", "qtrle": "rgb24", "mjpeg": "yuvj420p", "prores": "yuv422p10le"}.get(codec, "yuv420p")
    file = io.BytesIO()
    muxer = {k: v for k, v in options.items() if k == "movflags"}
    with av.open(file, "w", format=formats.get(suffix, suffix), options=muxer) as container:
        stream: Any = container.add_stream(codec, rate=6, options={k: v for k, v in options.items() if k not in muxer})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for i in range(frames):
            picture = np.full((48, 64, 3), 9 * i, np.uint8)
            picture[8:20, 2 * i : 2 * i + 12] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode(None))
    return file.getvalue()


MAKERS = {
    "recipe": recipes,
    "override": overrides,
    "npy": npy,
    "npz": npz,
    "png": png,
    "json": label_json,
    "csv": csv,
    "stored": stored,
    "table": tables,
    "safetensors": safetensors,
    "pth": pth,
    "run": runs,
}


def valid(kinds: set[str]) -> dict[str, list[Seed]]:
    """kind -> its valid inputs; those of a run, which is trained for it, only where they are among the kinds."""
    return {kind: make() for kind, make in MAKERS.items() if kind != "run" or kind in kinds} | clips()
