"""tiny: a plain video transformer for CPUs: convolutional stem, joint space-time attention, CLS."""

import math

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from taskprompt.core.errors import SpecError
from taskprompt.core.model import Backbone, Encoder, Guests
from taskprompt.core.source import ClipSpec
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import Block, call, drop_path_rates, init_linear, paper_levels, require_clip
from taskprompt.nn.guests import by_block, renewed


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
        if self.levels is not None and not all(0 <= i < self.depth for i in self.levels):
            raise SpecError(f"levels are {self.levels}, expected blocks from 0 to {self.depth - 1}.")
        return self

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError where the clip is not a whole number of patches."""
        size = (clip.frames, clip.height, clip.width)
        if any(s % p for s, p in zip(size, self.patch, strict=True)):
            raise SpecError(
                f"the clip is {size} (frames, height, width), expected multiples of the patch {self.patch}. "
                "Change `clip` or `backbone.patch`."
            )
        t, h, w = (s // p for s, p in zip(size, self.patch, strict=True))
        levels = tuple((t, h, w, self.dim) for _ in self.level_blocks())
        return Dims(*size, (t, h, w), self.dim, levels, (self.dim,) * self.depth)

    def level_blocks(self) -> tuple[int, ...]:
        """The blocks, from 0, whose patch tokens are Features.levels."""
        return paper_levels(self.depth) if self.levels is None else self.levels

    def build(self, clip: ClipSpec) -> "TinyEncoder":
        """The encoder, freshly initialised."""
        return TinyEncoder(self, self.dims(clip))


class TinyEncoder(Encoder):
    """Joint space-time attention over [CLS, patches, guests]; guests carry no position (PViT eq. 2)."""

    def __init__(self, spec: Tiny, dims: Dims):
        super().__init__()
        self.size = (dims.frames, dims.height, dims.width)
        self.level_blocks = spec.level_blocks()
        self.stem = Stem(spec.patch, spec.dim)
        self.cls = nn.Parameter(torch.empty(spec.dim))
        t, h, w = dims.grid
        # As large as the tokens they are added to: a short training has no time to let them grow.
        self.time = nn.Parameter(waves(t, spec.dim)[:, None, None])
        half = spec.dim // 2
        rows, columns = waves(h, half)[:, None].expand(h, w, half), waves(w, half)[None].expand(h, w, half)
        self.place = nn.Parameter(torch.cat([rows, columns], -1))
        self.blocks = nn.ModuleList(
            Block(spec.dim, spec.heads, rate) for rate in drop_path_rates(spec.drop_path, spec.depth)
        )
        self.norm = nn.LayerNorm(spec.dim, eps=1e-6)
        self.apply(init_linear)
        nn.init.trunc_normal_(self.cls, std=0.02)

    def forward(self, video: Tensor, guests: Guests | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        patches = self.stem(video) + self.time + self.place
        b, t, h, w, _ = patches.shape
        parts = [repeat(self.cls, "d -> b 1 d", b=b), rearrange(patches, "b t h w d -> b (t h w) d")]
        first, later = by_block(guests, len(self.blocks))
        x = torch.cat(parts if first is None else [*parts, first], 1)
        taps = {}
        for i, block in enumerate(self.blocks):
            x = call(block, renewed(x, later[i], 1 + t * h * w), checkpointing=self.checkpointing)
            if i in self.level_blocks:
                taps[i] = rearrange(x[:, 1 : 1 + t * h * w], "b (t h w) d -> b t h w d", t=t, h=h)
        x = self.norm(x)
        patches = rearrange(x[:, 1 : 1 + t * h * w], "b (t h w) d -> b t h w d", t=t, h=h)
        features = Features(x[:, 0], patches, {}, tuple(taps[i] for i in self.level_blocks))
        return features, None if guests is None else x[:, 1 + t * h * w :]

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


def waves(count: int, dim: int) -> Tensor:
    """count dim: sines and cosines of `count` places, wavelengths from 2 places to 2 `count` (Vaswani et al., 2017)."""
    place = torch.arange(count, dtype=torch.float32)[:, None]
    rate = torch.pi * torch.logspace(0, -math.log10(max(count, 2)), dim // 2)
    return torch.cat([torch.sin(place * rate), torch.cos(place * rate)], -1)
