"""Insertion of prompt tokens into an encoder: at its first block, or separate ones at every block (VPT-deep)."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from taskprompt.core.errors import LayoutError
from taskprompt.nn.blocks import call


def prompts_by_block(
    prompts: Tensor | Sequence[Tensor] | None, blocks: int
) -> tuple[Tensor | None, list[Tensor | None]]:
    """The prompts at the input, and the replacements at each block, None at the first; see core.model.Encoder."""
    if prompts is None or isinstance(prompts, Tensor):
        return prompts, [None] * blocks
    if len(prompts) != blocks:
        raise LayoutError(
            f"prompts for {len(prompts)} blocks, expected one tensor for each of {blocks}, or a single tensor."
        )
    return prompts[0], [None, *prompts[1:]]


def replace_prompts(x: Tensor, prompts: Tensor | None, at: int) -> Tensor:
    """b n d with the tokens from `at` on replaced by prompts, b g d; None: x unchanged."""
    if prompts is None:
        return x
    return torch.cat([x[:, :at], prompts, x[:, at + prompts.shape[1] :]], 1)


def run_blocks(
    blocks: nn.ModuleList,
    first: Tensor,
    prompts: Tensor | Sequence[Tensor] | None,
    patches: Tensor,
    taps: Collection[int],
    checkpointing: bool,
) -> tuple[Tensor, int, list[Tensor]]:
    """b p d such as CLS, prompts, b n d -> [first, prompts, patches] after the last block; the number of tokens before
    the patches; patches after each block in `taps`. A block is called block(x, prefix) with that number."""
    entering, later = prompts_by_block(prompts, len(blocks))
    x = torch.cat([first, patches] if entering is None else [first, entering, patches], 1)
    prefix = x.shape[1] - patches.shape[1]
    tapped = {}
    for i, block in enumerate(blocks):
        x = call(block, replace_prompts(x, later[i], first.shape[1]), prefix, checkpointing=checkpointing)
        if i in taps:
            tapped[i] = x[:, prefix:]
    return x, prefix, [tapped[i] for i in taps]
