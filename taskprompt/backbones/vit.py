"""vit: a vision transformer over space and time, as in VideoMAE; prompts are additional tokens."""

from typing import Literal

import torch
from einops import repeat
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from taskprompt.backbones._vit.layouts import OF_VIT
from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone, Encoder, Prompts
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import Block, drop_path_rates, level_blocks, require_clip
from taskprompt.nn.prompts import run_blocks
from taskprompt.nn.sincos import sinusoids
from taskprompt.nn.vit import SIZES, Patches, patch_dims, to_grid


class Vit(Backbone):
    """ViT over space and time, as in VideoMAE (arXiv 2203.12602): every patch attends to all patches of all frames.

    Fine-tuned VideoMAE models read the norm of the patches' mean (summary `mean`); the pretrained encoder normalises
    every patch, then the mean is read (`norm_first`). VideoMAE's keys have no bias. Ours have one, initialised to zero;
    it has no effect, since it shifts all logits of a query equally."""

    layouts = OF_VIT
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # RGB in 0..1, subtracted; ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)  # RGB in 0..1, divided by; ImageNet's
    size: Literal["tiny", "S", "B", "L", "H"] = "B"  # S, B, L, H: 22, 86, 304, 632 M parameters; tiny: 1 M, for CPUs
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 16, 16)  # frames and pixels of a token, t h w
    positions: Literal["sincos", "learned"] = "sincos"  # of patches: fixed sinusoidal; or learned
    summary: Literal["mean", "norm_first", "cls"] = "mean"  # norm of the patches' mean; mean of their norms; CLS
    drop_path: float = Field(default=0.1, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if the clip is not a whole number of patches, or a level is not a block."""
        return patch_dims(clip, self.patch, SIZES[self.size], self.levels)

    def build(self, clip: ClipSpec) -> "VitEncoder":
        """The encoder, freshly initialised."""
        return VitEncoder(self, self.dims(clip))


class VitEncoder(Encoder):
    """Joint space-time attention over [CLS if any, prompts, patches]; only patches have positions (PViT eq. 2)."""

    place: Tensor

    def __init__(self, spec: Vit, dims: Dims):
        super().__init__()
        size = SIZES[spec.size]
        self.size, self.grid = (dims.frames, dims.height, dims.width), dims.grid
        self.taps, self.summary = level_blocks(spec.levels, size.depth), spec.summary
        self.stem = Patches(spec.patch, size.dim)
        t, h, w = dims.grid
        place = sinusoids(t * h * w, size.dim).view(t, h, w, -1)
        if spec.positions == "learned":
            self.place = nn.Parameter(place)
        else:
            self.register_buffer("place", place, persistent=False)
        self.cls = nn.Parameter(0.02 * torch.randn(size.dim)) if spec.summary == "cls" else None
        rates = drop_path_rates(spec.drop_path, size.depth)
        self.blocks = nn.ModuleList(Block(size.dim, size.heads, rate) for rate in rates)
        self.norm = nn.LayerNorm(size.dim, eps=1e-6)

    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        patches = (self.stem(video) + self.place).flatten(1, 3)
        first = patches[:, :0] if self.cls is None else repeat(self.cls, "d -> b 1 d", b=len(video))
        x, prefix, levels = run_blocks(self.blocks, first, prompts, patches, self.taps, self.checkpointing)
        normed = self.norm(x)
        features = Features(
            self._summary(x, normed, prefix),
            to_grid(normed[:, prefix:], self.grid),
            {},
            tuple(to_grid(level, self.grid) for level in levels),
        )
        return features, None if prompts is None else normed[:, first.shape[1] : prefix]

    def _summary(self, x: Tensor, normed: Tensor, prefix: int) -> Tensor:
        """b n d before and after the norm -> b d."""
        if self.summary == "cls":
            return normed[:, 0]
        return self.norm(x[:, prefix:].mean(1)) if self.summary == "mean" else normed[:, prefix:].mean(1)

    def position_embeddings(self) -> dict[str, str]:
        """Learned positions; sinusoidal ones are computed for the clip's shape."""
        return {"place": "t h w"} if isinstance(self.place, nn.Parameter) else {}
