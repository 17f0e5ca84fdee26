"""motionformer: Motionformer, attention along trajectories; prompts attend like CLS and are keys in every frame."""

from typing import Literal

import torch
from einops import einsum, rearrange, repeat
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from taskprompt.backbones._vit.layouts import OF_MOTIONFORMER
from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone
from taskprompt.core.types import Dims
from taskprompt.nn.attention import attend
from taskprompt.nn.blocks import Mlp, drop_path, drop_path_rates, level_blocks
from taskprompt.nn.recompute import norm_linear
from taskprompt.nn.vit import SIZES, ClsEncoder, patch_dims


class Motionformer(Backbone):
    """Motionformer (arXiv 2106.05392): a patch attends to each frame separately, then along its trajectory."""

    layouts = OF_MOTIONFORMER
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)  # RGB in 0..1, subtracted
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)  # RGB in 0..1, divided by
    size: Literal["tiny", "S", "B", "L", "H"] = "B"  # B: 101 M parameters, the published one; tiny: 1 M, for CPUs
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 16, 16)  # frames and pixels of a token, t h w
    project_values: bool = False  # project values along trajectories, as in the paper; false: as in its code
    drop_path: float = Field(default=0.2, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if the clip is not a whole number of patches, or a level is not a block."""
        return patch_dims(clip, self.patch, SIZES[self.size], self.levels)

    def build(self, clip: ClipSpec) -> ClsEncoder:
        """The encoder, freshly initialised."""
        dims, size = self.dims(clip), SIZES[self.size]
        rates = drop_path_rates(self.drop_path, size.depth)
        blocks = (TrajectoryBlock(size.dim, size.heads, dims.grid[0], self.project_values, rate) for rate in rates)
        return ClsEncoder(dims, self.patch, blocks, level_blocks(self.levels, size.depth))


class TrajectoryAttention(nn.Module):
    """b (1 + prompts + t n) d -> the same (Motionformer, fig. 2).

    A patch attends to each frame separately, which gives one vector per frame, its trajectory; then, with the vector
    of its own frame as the query, to the t vectors of the trajectory. CLS attends to all tokens at once and no patch
    attends to it. Prompts attend like CLS, and are among the keys of every frame: the softmax of a frame is over its
    patches and the prompts."""

    def __init__(self, dim: int, heads: int, frames: int, project_values: bool):
        super().__init__()
        self.heads, self.frames = heads, frames
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.frame_q = nn.Linear(dim, dim)
        self.frame_k = nn.Linear(dim, dim, bias=False)  # a bias would shift all logits of a query equally
        self.frame_v = nn.Linear(dim, dim) if project_values else None

    def forward(self, x: Tensor, norm: nn.LayerNorm | None, prefix: int) -> Tensor:
        q, k, v = rearrange(norm_linear(norm, self.qkv, x), "b n (three g c) -> three b n g c", three=3, g=self.heads)
        first = attend(q[:, :prefix], k, v).flatten(2)
        queries = repeat(q[:, prefix:], "b s g c -> (b t) s g c", t=self.frames)
        gathered = attend(queries, self._by_frame(k, prefix), self._by_frame(v, prefix))
        gathered = rearrange(gathered, "(b t) s g c -> b s t (g c)", t=self.frames)
        return self.proj(torch.cat([first, self._along(gathered)], 1))

    def _by_frame(self, x: Tensor, prefix: int) -> Tensor:
        """b (1 + prompts + t n) g c -> (b t) (prompts + n) g c."""
        prompts = repeat(x[:, 1:prefix], "b m g c -> (b t) m g c", t=self.frames)
        return torch.cat([prompts, rearrange(x[:, prefix:], "b (t n) g c -> (b t) n g c", t=self.frames)], 1)

    def _along(self, gathered: Tensor) -> Tensor:
        """b s t d, one trajectory per patch -> b s d."""
        own = rearrange(gathered, "b (f n) t d -> b f n t d", f=self.frames).diagonal(dim1=1, dim2=3)
        q = self.frame_q(rearrange(own, "b n d f -> b (f n) d"))
        # q . W k = W' q . k: t times fewer products than projecting all t vectors of all patches.
        q = rearrange(q * (q.shape[-1] // self.heads) ** -0.5, "b s (g c) -> b s g c", g=self.heads)
        q = einsum(q, self._a_head(self.frame_k), "b s g c, g c d -> b s g d")
        share = einsum(q, gathered, "b s g d, b s t d -> b s g t").softmax(-1)
        if self.frame_v is None:
            values = rearrange(gathered, "b s t (g c) -> b s t g c", g=self.heads)
            return einsum(share, values, "b s g t, b s t g c -> b s g c").flatten(2)
        mixed = einsum(share, gathered, "b s g t, b s t d -> b s g d")
        return einsum(mixed, self._a_head(self.frame_v), "b s g d, g c d -> b s g c").flatten(2) + self.frame_v.bias

    def _a_head(self, linear: nn.Linear) -> Tensor:
        """(g c) d -> g c d: the weights of each head."""
        return rearrange(linear.weight, "(g c) d -> g c d", g=self.heads)


class TrajectoryBlock(nn.Module):
    """b (1 + prompts + t n) d -> the same: pre-norm trajectory attention and feed-forward, both residual."""

    def __init__(self, dim: int, heads: int, frames: int, project_values: bool, drop_path: float):
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = TrajectoryAttention(dim, heads, frames, project_values)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)

    def forward(self, x: Tensor, prefix: int) -> Tensor:
        x = x + drop_path(self.attn(x, self.norm1, prefix), self.drop_path, self.training)
        return x + drop_path(self.mlp(x, self.norm2), self.drop_path, self.training)
