"""tokens: learned prompts inside the transformer, one or more per task, at its input or at every block (PViT, VPT)."""

import dataclasses

import torch
from einops import repeat
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.errors import SpecError
from taskprompt.core.model import Encoder, Prompter
from taskprompt.core.types import Dims, Features


class Tokens(Prompter):
    """Learned tokens that pass through the encoder together with CLS and the patches (PViT eq. 2)."""

    scale: float = Field(default=0.02, gt=0)  # standard deviation of the initial tokens
    neutral: int = Field(
        default=0, ge=0, le=100_000
    )  # additional tokens that belong to no task ("NP" of PViT, and VPT's prompts)
    deep: bool = False  # separate tokens for every block, in place of the previous block's output (VPT-deep)
    dropout: float = Field(default=0.0, ge=0, lt=1)  # of the tokens' values

    def check(self, dims: Dims) -> None:
        """Raises SpecError if the backbone accepts no tokens, or with `deep` none at every block."""
        if self.neutral or any(dims.prompts.values()):
            self.require_prompts(dims)
        if self.deep and not dims.widths:
            raise SpecError(
                "deep: this backbone takes prompts only at its input (its Dims have no `widths`). "
                "Set deep: false, or choose another backbone."
            )

    def build(self, dims: Dims) -> "TaskTokens":
        """Tokens for every task that owns prompts, and the neutral ones."""
        return TaskTokens(self, dims)


class TaskTokens(nn.Module):
    """encoder, b t h w c -> Features whose `prompts` are the encoder's outputs for the tokens, task -> b n d."""

    def __init__(self, spec: Tokens, dims: Dims):
        super().__init__()
        widths = dims.widths or (dims.dim,)
        counts = {**dims.prompts, NEUTRAL: spec.neutral}
        self.counts = {name: count for name, count in counts.items() if count}
        self.deep, self.dropout = spec.deep, nn.Dropout(spec.dropout)
        self.tokens = nn.ParameterDict({n: _drawn(c, widths[0], spec.scale) for n, c in self.counts.items()})
        self.later = nn.ParameterList(
            _drawn(sum(self.counts.values()), width, spec.scale) for width in widths[1:] if spec.deep and self.counts
        )

    def forward(self, encoder: Encoder, video: Tensor) -> Features:
        if not self.counts:
            return encoder(video)[0]
        first = torch.cat([self.tokens[name] for name in self.counts])
        prompts = [repeat(self.dropout(x), "n d -> b n d", b=len(video)) for x in (first, *self.later)]
        features, out = encoder(video, prompts if self.deep else prompts[0])
        parts = dict(zip(self.counts, out.split([*self.counts.values()], 1), strict=True))
        parts.pop(NEUTRAL, None)
        return dataclasses.replace(features, prompts=parts)


NEUTRAL = "_neutral"  # not a valid task name: these begin with a letter or a digit


def _drawn(count: int, width: int, scale: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(count, width) * scale)
