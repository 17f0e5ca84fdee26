"""tiny: a plain video transformer for CPUs: convolutional stem, joint space-time attention, CLS."""

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from taskprompt.core.errors import SpecError
from taskprompt.core.model import Backbone, Encoder, Guests
from taskprompt.core.source import ClipSpec
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import Block, drop_path_rates, level_blocks, require_clip
from taskprompt.nn.guests import through
from taskprompt.nn.vit import Size, patch_dims, to_grid


class Tiny(Backbone):
    """A plain video transformer for CPUs: convolutional stem, joint space-time attention, CLS."""

    patch: tuple[int, int, int] = (2, 8, 8)  # frames and pixels of a token, t h w; h and w multiples of 4
    dim: int = Field(default=128, ge=8)  # width of the tokens
    depth: int = Field(default=4, ge=1)  # blocks
    heads: int = Field(default=4, ge=1)  # of attention
    drop_path: float = Field(default=0.0, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: early, late and last

    @model_validator(mode="after")
    def _sizes_agree(self) -> "Tiny":
        if self.dim % (4 * self.heads):
            raise SpecError(f"dim is {self.dim}, expected a multiple of 4 x heads = {4 * self.heads}. Change either.")
        t, h, w = self.patch
        if t < 1 or h < 4 or w < 4 or h % 4 or w % 4:
            raise SpecError(f"patch is {self.patch}, expected t >= 1 and h, w multiples of 4, such as [2, 8, 8].")
        self.level_blocks()  # raises where there is no such block
        return self

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError where the clip is not a whole number of patches."""
        return patch_dims(clip, self.patch, Size(self.dim, self.depth, self.heads), self.levels)

    def level_blocks(self) -> tuple[int, ...]:
        """The blocks, from 0, whose patch tokens are Features.levels."""
        return level_blocks(self.levels, self.depth)

    def build(self, clip: ClipSpec) -> "TinyEncoder":
        """The encoder, freshly initialised."""
        return TinyEncoder(self, self.dims(clip))


class TinyEncoder(Encoder):
    """Joint space-time attention over [CLS, guests, patches]; guests carry no position (PViT eq. 2)."""

    def __init__(self, spec: Tiny, dims: Dims):
        super().__init__()
        self.size, self.grid = (dims.frames, dims.height, dims.width), dims.grid
        self.level_blocks = spec.level_blocks()
        self.stem = Stem(spec.patch, spec.dim)
        self.cls = nn.Parameter(torch.empty(spec.dim))
        t, h, w = dims.grid
        # Small: positions as large as the tokens were learned by heart, 0.12 top-1 instead of 0.22 after 200 steps.
        self.time = nn.Parameter(0.02 * torch.randn(t, 1, 1, spec.dim))
        self.place = nn.Parameter(0.02 * torch.randn(h, w, spec.dim))
        self.blocks = nn.ModuleList(
            Block(spec.dim, spec.heads, rate) for rate in drop_path_rates(spec.drop_path, spec.depth)
        )
        self.norm = nn.LayerNorm(spec.dim, eps=1e-6)
        nn.init.trunc_normal_(self.cls, std=0.02)

    def forward(self, video: Tensor, guests: Guests | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        patches = self.stem(video) + self.time + self.place
        cls = repeat(self.cls, "d -> b 1 d", b=len(video))
        x, prefix, levels = through(
            self.blocks, cls, guests, patches.flatten(1, 3), self.level_blocks, self.checkpointing
        )
        x = self.norm(x)
        levels = tuple(to_grid(level, self.grid) for level in levels)
        features = Features(x[:, 0], to_grid(x[:, prefix:], self.grid), {}, levels)
        return features, None if guests is None else x[:, 1:prefix]

    def tables(self) -> dict[str, str]:
        """Learned positions, one table for t and one for h and w."""
        return {"time": "t", "place": "h w"}


class Stem(nn.Module):
    """b t h w c -> b t h w d: two strided convolutions a frame, then one over the rest of the patch."""

    def __init__(self, patch: tuple[int, int, int], dim: int):
        super().__init__()
        self.early = nn.Sequential(
            nn.Conv2d(3, dim // 4, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // 4, dim // 2, 3, stride=2, padding=1),
            nn.GELU(),
        )
        kernel = (patch[0], patch[1] // 4, patch[2] // 4)
        self.patch = nn.Conv3d(dim // 2, dim, kernel, stride=kernel)
        # Three small convolutions shrink what they carry; without a norm all tokens would look alike to the blocks.
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, video: Tensor) -> Tensor:
        x = self.early(rearrange(video, "b t h w c -> (b t) c h w"))
        x = self.patch(rearrange(x, "(b t) d h w -> b d t h w", b=len(video)))
        return self.norm(rearrange(x, "b d t h w -> b t h w d"))
