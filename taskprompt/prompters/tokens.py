"""tokens: one learned prompt a task, inside the transformer (PViT)."""

import dataclasses

import torch
from einops import repeat
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.model import Encoder, Prompter
from taskprompt.core.types import Dims, Features


class Tokens(Prompter):
    """Learned tokens that pass through the encoder beside CLS and the patches (PViT eq. 2)."""

    scale: float = Field(default=0.02, gt=0)  # standard deviation of the initial tokens

    def build(self, dims: Dims) -> "TaskTokens":
        """Tokens of width dims.token_dim for every task that owns prompts."""
        return TaskTokens(dims, self.scale)


class TaskTokens(nn.Module):
    """encoder, b t h w c -> Features whose `prompts` are the tokens as they leave the encoder, task -> b n d."""

    def __init__(self, dims: Dims, scale: float):
        super().__init__()
        width = dims.token_dim or dims.dim
        owned = {name: count for name, count in dims.prompts.items() if count}
        self.tokens = nn.ParameterDict(
            {n: nn.Parameter(torch.randn(count, width) * scale) for n, count in owned.items()}
        )

    def forward(self, encoder: Encoder, video: Tensor) -> Features:
        tokens = dict(self.tokens.items())
        if not tokens:
            return encoder(video)[0]
        features, guests = encoder(video, repeat(torch.cat(list(tokens.values())), "n d -> b n d", b=len(video)))
        parts = guests.split([len(p) for p in tokens.values()], 1)
        return dataclasses.replace(features, prompts=dict(zip(tokens, parts, strict=True)))
