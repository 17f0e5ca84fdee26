"""Lossless encoding of frames to a video file."""

import io
from fractions import Fraction

import av
import numpy as np


def lossless(video: np.ndarray, rate: Fraction) -> bytes:
    """t h w 3 uint8 RGB -> a QuickTime file in which frame i is shown at i / rate seconds.

    QuickTime RLE stores RGB exactly and decodes ten to twenty times faster than FFV1 or lossless H.264; for frames with
    grain its size is about that of raw pixels. Common players support it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("qtrle", rate=rate)
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = 1 / rate
        for i, picture in enumerate(video):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
