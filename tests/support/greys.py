"""Clips whose frames are told apart by their grey, and the label files of other people."""

import io
import struct
import zipfile
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from taskprompt.core.clip import ClipSpec

FRAMES, HEIGHT, WIDTH = 20, 32, 48
CLIP = ClipSpec(frames=4, height=32, width=48, fps=5)  # of 10 frames a second: every second frame
MIDDLE = [6, 8, 10, 12]


def video(path: Path, size=(HEIGHT, WIDTH)) -> Path:
    """A clip of 20 frames, 10 a second; frame i is grey 12 * i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "1"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 12 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def npy(values: np.ndarray) -> bytes:
    """What np.save writes."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def announced(shape: str, dtype: str = "'<f4'", data: bytes = b"", fortran: str = "False") -> bytes:
    """An npy file whose header says anything."""
    header = f"{{'descr': {dtype}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(data: bytes, name: str = "x.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive with one member of any content."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
    return file.getvalue()
