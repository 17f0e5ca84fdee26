"""Guest tokens that enter an encoder: at its first block, or anew at every block (VPT, deep)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from taskprompt.core.errors import LayoutError


def by_block(guests: Tensor | Sequence[Tensor] | None, blocks: int) -> tuple[Tensor | None, list[Tensor | None]]:
    """What enters first, and what takes its place at each block, nothing at the first; see core.model.Encoder."""
    if guests is None or isinstance(guests, Tensor):
        return guests, [None] * blocks
    if len(guests) != blocks:
        raise LayoutError(f"guests for {len(guests)} blocks, expected one tensor for each of {blocks}, or one in all.")
    return guests[0], [None, *guests[1:]]


def renewed(x: Tensor, guests: Tensor | None, at: int) -> Tensor:
    """b n d with the tokens from `at` on overwritten by guests, b g d; None: x as it is."""
    if guests is None:
        return x
    return torch.cat([x[:, :at], guests, x[:, at + guests.shape[1] :]], 1)
