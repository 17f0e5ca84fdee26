"""tiny: a plain video transformer for CPUs: whole patches, joint space-time attention, CLS."""

from pydantic import Field, model_validator
from torch import nn

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.model import Backbone, Encoder
from taskprompt.core.types import Dims
from taskprompt.nn.blocks import Block, drop_path_rates, level_blocks
from taskprompt.nn.vit import ClsEncoder, Size, patch_dims


class Tiny(Backbone):
    """A plain video transformer for CPUs: whole patches, joint space-time attention, CLS."""

    # Small tokens at first speed up training: 0.22 top-1 instead of 0.18 after 200 steps, and dense tasks learn spatial
    # positions in half the time.
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)  # RGB in 0..1, divided by
    patch: tuple[int, int, int] = (2, 8, 8)  # frames and pixels of a token, t h w
    dim: int = Field(default=128, ge=8, le=65_536)  # width of the tokens
    depth: int = Field(default=4, ge=1, le=1000)  # blocks
    heads: int = Field(default=4, ge=1, le=65_536)  # of attention
    drop_path: float = Field(default=0.0, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: early, late and last

    @model_validator(mode="after")
    def _sizes_agree(self) -> "Tiny":
        if self.dim % self.heads:
            raise SpecError(f"dim is {self.dim}, expected a multiple of heads = {self.heads}. Change either.")
        if min(self.patch) < 1:
            raise SpecError(f"patch is {self.patch}, expected three numbers from 1 on, such as [2, 8, 8].")
        self.level_blocks()  # raises if there is no such block
        return self

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if the clip is not a whole number of patches."""
        return patch_dims(clip, self.patch, Size(self.dim, self.depth, self.heads), self.levels)

    def level_blocks(self) -> tuple[int, ...]:
        """The blocks, from 0, whose patch tokens are Features.levels."""
        return level_blocks(self.levels, self.depth)

    def build(self, clip: ClipSpec) -> Encoder:
        """The encoder, freshly initialised."""
        blocks = (Block(self.dim, self.heads, rate) for rate in drop_path_rates(self.drop_path, self.depth))
        encoder = ClsEncoder(self.dims(clip), self.patch, blocks, self.level_blocks())
        nn.init.normal_(encoder.time, std=0.02)  # not zero, since there are no image weights to preserve
        return encoder
