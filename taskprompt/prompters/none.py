"""none: no prompts; every head reads the encoder's own features (PViT's baseline "MT")."""

from torch import Tensor, nn

from taskprompt.core.model import Encoder, Prompter
from taskprompt.core.types import Dims, Features


class NoPrompts(Prompter):
    """No prompts: every head reads the encoder's own features, the baseline "MT" of PViT."""

    def build(self, dims: Dims) -> "Plain":
        """A module without parameters."""
        return Plain()


class Plain(nn.Module):
    """encoder, b t h w c -> Features as the encoder gives them."""

    def forward(self, encoder: Encoder, video: Tensor) -> Features:
        return encoder(video)[0]
