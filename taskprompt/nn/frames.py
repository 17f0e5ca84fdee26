"""Towers of image models, a frame at a time: prompts enter every frame, and their copies are averaged behind it."""

from abc import abstractmethod
from collections.abc import Iterable

from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from taskprompt.core.model import Encoder, Prompts
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import require_clip
from taskprompt.nn.prompts import through
from taskprompt.nn.vit import to_grid


class FrameEncoder(Encoder):
    """b t h w c, b n d -> Features, b n d. Frames meet in the summary and the prompts, the means over them, alone.

    What the tower puts before its patches, CLS and registers, is `first`; its first token is the frame's summary. Where
    there is none it is the mean of the patches. `norm` is the tower's last one."""

    def __init__(self, dims: Dims, blocks: Iterable[nn.Module], norm: nn.Module, taps: tuple[int, ...]):
        super().__init__()
        self.size, self.grid, self.taps = (dims.frames, dims.height, dims.width), dims.grid, taps
        self.blocks, self.norm = nn.ModuleList(map(Plain, blocks)), norm

    @abstractmethod
    def embed(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """f c h w -> f p d, f n d: what comes before the patches, and the patches, with their places."""

    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        first, patches = self.embed(rearrange(video, "b t h w c -> (b t) c h w"))
        x, prefix, levels = through(
            self.blocks, first, self._copies(prompts), patches, self.taps, self.checkpointing
        )  # fmt: skip
        x = self.norm(x)
        grid, count = (1, *self.grid[1:]), first.shape[1]
        maps = [
            rearrange(to_grid(level, grid), "(b t) 1 h w d -> b t h w d", t=self.grid[0])
            for level in (x[:, prefix:], *levels)
        ]
        summary = x[:, 0] if count else x[:, prefix:].mean(1)
        features = Features(
            reduce(summary, "(b t) d -> b d", "mean", t=self.grid[0]), maps[0], {}, tuple(maps[1:])
        )  # fmt: skip
        if prompts is None:
            return features, None
        return features, reduce(x[:, count:prefix], "(b t) n d -> b n d", "mean", t=self.grid[0])

    def _copies(self, prompts: Prompts | None) -> Prompts | None:
        """One of each for every frame."""
        if prompts is None:
            return None
        if isinstance(prompts, Tensor):
            return repeat(prompts, "b n d -> (b t) n d", t=self.grid[0])
        return [repeat(one, "b n d -> (b t) n d", t=self.grid[0]) for one in prompts]


class Plain(nn.Module):
    """A block of others, called as ours are: they tell no prefix apart."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, prefix: int = 0) -> Tensor:
        return self.block(x)
