"""Tables of sines and cosines that tell places apart."""

import math

import torch
from torch import Tensor


def waves(count: int, dim: int) -> Tensor:
    """count dim: sines and cosines of `count` places, wavelengths from 2 places to 2 `count` (Vaswani et al., 2017)."""
    place = torch.arange(count, dtype=torch.float32)[:, None]
    rate = torch.pi * torch.logspace(0, -math.log10(max(count, 2)), dim // 2)
    return torch.cat([torch.sin(place * rate), torch.cos(place * rate)], -1)


def plane_waves(h: int, w: int, dim: int) -> Tensor:
    """h w dim: waves of the row in the first half of the width, of the column in the second."""
    rows, columns = waves(h, dim // 2)[:, None], waves(w, dim // 2)[None]
    return torch.cat([rows.expand(h, w, -1), columns.expand(h, w, -1)], -1)


def sinusoids(count: int, dim: int) -> Tensor:
    """count dim: sine and cosine in turn, wavelengths from 2 pi to 20000 pi places, whatever `count` is.

    The table of Vaswani et al. (2017, section 3.5), which VideoMAE lays over all patches in the order (t h w)."""
    rate = 10000 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.arange(count, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float()
