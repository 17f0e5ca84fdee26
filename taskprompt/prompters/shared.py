"""shared: one wide prompt for all tasks (PViT's baseline "OP")."""

import dataclasses

import torch
from einops import repeat
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.model import Encoder, Prompter
from taskprompt.core.types import Dims, Features


class Shared(Prompter):
    """One prompt that all tasks read, with the parameters of their separate prompts (PViT section 4.4, "OP").

    It has n d values, where n is the number of prompts that the tasks own, and is projected to d."""

    scale: float = Field(default=0.02, gt=0)  # initial standard deviation of the token at the encoder's input

    def check(self, dims: Dims) -> None:
        """Raises SpecError if the backbone accepts no tokens."""
        if any(dims.prompts.values()):
            self.require_prompts(dims)

    def build(self, dims: Dims) -> "SharedToken":
        """One token, and its projection to the width of the encoder's tokens."""
        return SharedToken(dims, self.scale)


class SharedToken(nn.Module):
    """encoder, b t h w c -> Features whose `prompts` are the encoder's output for the token, task -> b n d."""

    def __init__(self, dims: Dims, scale: float):
        super().__init__()
        self.counts = {name: count for name, count in dims.prompts.items() if count}
        width, wide = (dims.widths or (dims.dim,))[0], sum(self.counts.values())
        self.token = nn.Parameter(torch.randn(wide * width) * scale) if wide else None
        self.project = nn.Linear(wide * width, width) if wide else None

    def forward(self, encoder: Encoder, video: Tensor) -> Features:
        if self.token is None or self.project is None:
            return encoder(video)[0]
        features, out = encoder(video, repeat(self.project(self.token), "d -> b 1 d", b=len(video)))
        return dataclasses.replace(
            features, prompts={name: out.expand(-1, count, -1) for name, count in self.counts.items()}
        )
