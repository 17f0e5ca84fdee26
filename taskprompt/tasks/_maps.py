"""Common parts of dense tasks: checks, downsampling to the head's size, means over valid pixels."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from taskprompt.core.errors import SampleError
from taskprompt.core.types import Sample
from taskprompt.tasks._labels import numbers


def checked_map(label, sample: Sample, *channels: int) -> np.ndarray:
    """The label as an array t h w *channels with the clip's t h w; raises SampleError for another shape."""
    values = numbers(label, "an array with a value for every pixel of the clip")
    expected = (*sample.clip.video.shape[:3], *channels)
    if values.shape != expected:
        raise SampleError(
            f"the map has shape {values.shape}, expected {expected}: a value for every pixel of the clip. "
            "Give one map per frame, at the clip's height and width."
        )
    return values


def nearest_pixels(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """t h w ... -> t height width ...: the pixel at the centre of each cell, without interpolation at edges."""
    rows, columns = (
        ((np.arange(n) + 0.5) * size / n).astype(int)
        for n, size in ((height, values.shape[1]), (width, values.shape[2]))
    )
    return values[:, rows[:, None], columns]


def masked_area_mean(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """t h w c -> t height width c: the mean over each cell's known pixels, NaN if none is known."""
    pixels = torch.from_numpy(np.array(values, np.float32)).movedim(-1, 1).contiguous()
    known = pixels.isfinite().all(1, keepdim=True)
    joined = torch.cat([pixels.where(known, 0), known], 1)
    pooled = F.adaptive_avg_pool2d(joined, (height, width)).movedim(1, -1)
    return torch.where(pooled[..., -1:] > 0, pooled[..., :-1] / pooled[..., -1:], torch.nan).numpy()


def clip_mean(values: Tensor, valid: Tensor) -> Tensor:
    """m ..., m ... bool -> m: the mean over a sample's valid positions, 0 if it has none. Invalid values may be NaN."""
    total = torch.where(valid, values, 0).flatten(1).sum(1)
    return total / valid.flatten(1).sum(1).clamp(min=1)


def clip_figure(values: Tensor, valid: Tensor) -> Tensor:
    """The same for metrics: NaN if a sample has no valid position."""
    return torch.where(valid.flatten(1).any(1), clip_mean(values, valid), torch.nan)
