"""Weights drawn at random, none left at zero or one, for comparing two implementations of a network."""

from typing import TypeVar

import torch
from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


@torch.no_grad()
def drawn(module: AnyModule, seed: int = 0) -> AnyModule:
    """The module in eval mode: matrices scaled to their inputs, norms about one, biases and tables of positions too."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=draw)
        if "norm" in name and name.endswith("weight"):
            parameter.copy_(1 + 0.2 * noise)
        elif parameter.dim() == 1 or not name.endswith("weight"):
            parameter.copy_(0.2 * noise)
        else:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return module.eval()
