"""Sinusoidal position embeddings."""

import torch
from torch import Tensor


def sinusoids(count: int, dim: int) -> Tensor:
    """count dim: sine and cosine alternate, wavelengths from 2 pi to 20000 pi positions.

    The table of Vaswani et al. (2017, section 3.5), which VideoMAE uses for all patches in the order (t h w)."""
    rate = 10000 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.arange(count, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float()
