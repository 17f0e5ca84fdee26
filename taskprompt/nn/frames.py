"""Image towers applied to each frame: prompts are copied into every frame, and the copies are averaged afterwards."""

from abc import abstractmethod
from collections.abc import Iterable

from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from taskprompt.core.model import Encoder, Prompts
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import require_clip
from taskprompt.nn.prompts import run_blocks
from taskprompt.nn.vit import to_grid


class FrameEncoder(Encoder):
    """b t h w c, b n d -> Features, b n d. Frames interact only in the averages of the summary and the prompts.

    `first` are the tower's tokens before the patches, CLS and registers; its first token is the frame's summary, or the
    mean of the patches if there is none. `norm` is the tower's final norm."""

    def __init__(self, dims: Dims, blocks: Iterable[nn.Module], norm: nn.Module, taps: tuple[int, ...]):
        super().__init__()
        self.size, self.grid, self.taps = (dims.frames, dims.height, dims.width), dims.grid, taps
        self.blocks, self.norm = nn.ModuleList(map(Plain, blocks)), norm

    @abstractmethod
    def embed(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """f c h w -> f p d, f n d: tokens before the patches, and the patches, with position embeddings."""

    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        first, patches = self.embed(rearrange(video, "b t h w c -> (b t) c h w"))
        x, prefix, levels = run_blocks(
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
        """The prompts, repeated for every frame."""
        if prompts is None:
            return None
        if isinstance(prompts, Tensor):
            return repeat(prompts, "b n d -> (b t) n d", t=self.grid[0])
        return [repeat(one, "b n d -> (b t) n d", t=self.grid[0]) for one in prompts]


class Plain(nn.Module):
    """Adapter for a block of another library, which takes no prefix."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, prefix: int = 0) -> Tensor:
        return self.block(x)
