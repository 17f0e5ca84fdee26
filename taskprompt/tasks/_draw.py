"""Visualisation: captions, coloured maps, boxes and skeletons, on frames t h w c uint8."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

Colour = tuple[int, int, int]
Path = tuple[Sequence[tuple[float, float]], Colour]  # points x y in pixels


def captioned(video: np.ndarray, text: str) -> np.ndarray:
    """The frames with one line of text on a dark band at the bottom, truncated if it is too long."""
    height, width = video.shape[1:3]
    size = max(8, round(height / 12))
    band = Image.new("RGB", (width, size + 4), (0, 0, 0))
    ImageDraw.Draw(band).text((2, 1), text, fill=(255, 255, 255), font=ImageFont.load_default(size))
    strip = np.asarray(band)[:height]
    out = video.copy()
    out[:, height - len(strip) :] = (0.25 * out[:, height - len(strip) :]).astype(np.uint8)
    out[:, height - len(strip) :] = np.maximum(out[:, height - len(strip) :], strip)
    return out


def ramp(values: Tensor, size: tuple[int, int]) -> np.ndarray:
    """t h w in 0..1 -> t H W 3 uint8, near bright and far dark; NaN is black."""
    values = values.detach().cpu()
    known = torch.isfinite(values)
    levels = _upsample(torch.where(known, values, 1).clamp(0, 1)[..., None], size)[..., 0]
    coloured = _ramp_table()[(levels * 255).round().long().numpy()]
    return np.where(_cells(known, size)[..., None], coloured, 0).astype(np.uint8)


def directions(vectors: Tensor, size: tuple[int, int]) -> np.ndarray:
    """t h w 3 unit vectors -> t H W 3 uint8: the usual normal map, (x, -y, -z) from -1..1 to 0..255; NaN is black."""
    vectors = vectors.detach().cpu()
    known = torch.isfinite(vectors).all(-1)
    facing = torch.where(known[..., None], vectors, 0) * torch.tensor([1.0, -1.0, -1.0])
    coloured = ((_upsample(facing, size) + 1) * 127.5).round().clamp(0, 255).numpy()
    return np.where(_cells(known, size)[..., None], coloured, 0).astype(np.uint8)


def regions(classes: Tensor, size: tuple[int, int]) -> np.ndarray:
    """t h w integers, 255 where unknown -> t H W 3 uint8: one colour per class; unknown is black."""
    cells = _cells(classes.detach().cpu(), size)
    return np.where((cells == 255)[..., None], 0, np.array(colours(255))[np.minimum(cells, 254)]).astype(np.uint8)


@lru_cache
def colours(count: int) -> tuple[Colour, ...]:
    """Distinct colours: hues by the golden ratio, at three brightnesses."""
    index = np.arange(count)
    hue = index * 0.618034 % 1
    value = np.array([1.0, 0.75, 0.55])[index % 3]
    rgb = np.clip(np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    rows = (255 * value[:, None] * (0.25 + 0.75 * rgb)).astype(int).tolist()
    return tuple((r, g, b) for r, g, b in rows)


def lines(frame: np.ndarray, paths: Iterable[Path]) -> np.ndarray:
    """h w 3 uint8 -> the same with each path drawn in its colour."""
    width = max(1, round(len(frame) / 60))
    image = Image.fromarray(frame)
    pen = ImageDraw.Draw(image)
    for points, colour in paths:
        pen.line([(float(x), float(y)) for x, y in points], fill=colour, width=width)
    return np.asarray(image)


def _upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """t h w c -> t H W c, bilinear."""
    scaled = F.interpolate(maps.float().movedim(-1, 1), size, mode="bilinear", align_corners=False)
    return scaled.movedim(1, -1)


def _cells(maps: Tensor, size: tuple[int, int]) -> np.ndarray:
    """t h w -> t H W, by nearest cell."""
    rows, columns = (torch.arange(n) * old // n for n, old in zip(size, maps.shape[1:3], strict=True))
    return maps[:, rows[:, None], columns].numpy()


@lru_cache
def _ramp_table() -> np.ndarray:
    """256 3 uint8."""
    from matplotlib import colormaps

    return (255 * colormaps["magma_r"](np.arange(256))[:, :3]).round().astype(np.uint8)
