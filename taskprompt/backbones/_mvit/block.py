"""The block of MViTv2: pooling attention with relative positions; prefix tokens (CLS, prompts) are never pooled."""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from taskprompt.backbones._mvit.sizes import BlockPlan, Grid
from taskprompt.nn.attention import attend
from taskprompt.nn.blocks import Mlp, drop_path
from taskprompt.nn.depthwise import depthwise
from taskprompt.nn.positions import RelativePositions
from taskprompt.nn.recompute import layer_norm, norm_linear

HAS_TRITON = find_spec("triton") is not None  # installed with torch for GPUs, but not on every system


class Pool(nn.Module):
    """A depthwise 3 x 3 x 3 convolution, shared by the heads, and a norm per head."""

    def __init__(self, dim: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv3d(dim, dim, 3, stride=(1, stride, stride), padding=1, groups=dim, bias=False)
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """b (t h w) (g c) -> b t h w g c."""
        if x.device.type == "cuda" and HAS_TRITON:
            from taskprompt.nn.pool_gpu import pool_norm

            x = rearrange(x, "b (t h w) d -> b t h w d", t=grid[0], h=grid[1])
            return pool_norm(x, self.conv.weight, self.norm.weight, self.norm.bias, self.norm.eps, self.stride)
        if x.device.type != "cpu" or x.dtype != torch.bfloat16:
            return self._pool(x, grid)
        # On CPUs the backward pass of a strided depthwise convolution is several times slower in bf16 than in float32.
        with torch.autocast("cpu", enabled=False):
            return self._pool(x.float(), grid).to(x.dtype)

    def normed(self, x: Tensor) -> Tensor:
        """... c -> ... c: only the norm."""
        return layer_norm(x, self.norm.weight, self.norm.bias, self.norm.eps)[0]

    def _pool(self, x: Tensor, grid: Grid) -> Tensor:
        heads = x.shape[-1] // self.conv.in_channels
        # Tokens are stored channels last with all heads adjacent: one convolution over g c channels needs no copy.
        x = rearrange(x, "b (t h w) d -> b t h w d", t=grid[0], h=grid[1])
        x = depthwise(x, self.conv.weight.repeat(heads, 1, 1, 1, 1), self.stride)
        return self.norm(rearrange(x, "b t h w (g c) -> b t h w g c", g=heads))


class PoolingAttention(nn.Module):
    """Self-attention with pooled queries, keys and values and residual pooling (MViTv2 eq. 2 to 5)."""

    def __init__(self, plan: BlockPlan):
        super().__init__()
        self.grid, self.heads = plan.grid_in, plan.heads
        dim = plan.dim // plan.heads
        self.qkv = nn.Linear(plan.dim_in, 3 * plan.dim)
        self.proj = nn.Linear(plan.dim, plan.dim)
        self.pool_q, self.pool_k, self.pool_v = (Pool(dim, s) for s in (plan.stride, plan.kv_stride, plan.kv_stride))
        self.positions = RelativePositions(plan.grid, plan.kv_grid, dim)

    def forward(self, x: Tensor, norm: nn.LayerNorm, prefix: int) -> Tensor:
        """b (prefix + patches) d -> b (prefix + pooled patches) d. Prefix tokens bypass pooling and positions."""
        first, rest = norm_linear(norm, self.qkv, x).split([prefix, x.shape[1] - prefix], 1)
        pools = (self.pool_q, self.pool_k, self.pool_v)
        q, k, v = (pool(part, self.grid) for pool, part in zip(pools, rest.chunk(3, -1), strict=True))
        # A copy of these few tokens: the norms would otherwise save a view, which keeps all of qkv in memory.
        first = rearrange(first.clone(), "b n (three g c) -> three b n g c", three=3, g=self.heads).unbind()
        q1, k1, v1 = (pool.normed(part) for pool, part in zip(pools, first, strict=True))
        k, v = torch.cat([k1, k.flatten(1, 3)], 1), torch.cat([v1, v.flatten(1, 3)], 1)
        y = self._patches(q, k, v, prefix) + q.flatten(1, 3)
        y = torch.cat([attend(q1, k, v), y], 1)
        return self.proj(y.flatten(2))

    def _patches(self, q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Tensor:
        """b t h w g c, b n g c, b n g c -> b (t h w) g c: the queries of patches, with relative positions."""
        columns = F.pad(self.positions.columns, (0, 0, prefix, 0)).to(k.dtype)
        columns = columns[None, :, None].expand(*k.shape[:3], -1)
        keys = torch.cat(
            [k * k.shape[-1] ** -0.5, columns], -1
        )  # only the keys are scaled: products with position tables are not
        return attend(self.positions.extend(q).flatten(1, 3), keys, v, scale=1.0)


class MultiscaleBlock(nn.Module):
    """b (prefix + patches) d -> the same with the plan's width and grid."""

    def __init__(self, plan: BlockPlan, drop_path: float):
        super().__init__()
        self.grid, self.stride, self.drop_path = plan.grid_in, plan.stride, drop_path
        self.norm1 = nn.LayerNorm(plan.dim_in, eps=1e-6)
        self.attn = PoolingAttention(plan)
        self.widen = nn.Linear(plan.dim_in, plan.dim_out) if plan.dim_out != plan.dim_in else None
        self.late = plan.dim_out != plan.dim  # whether the feed-forward layer changes the width
        self.norm2 = nn.LayerNorm(plan.dim, eps=1e-6)
        self.mlp = Mlp(plan.dim, plan.dim_out)

    def forward(self, x: Tensor, prefix: int) -> Tensor:
        skip = x if self.widen is None or self.late else norm_linear(self.norm1, self.widen, x)
        if self.stride > 1:
            skip = self._pool(skip, prefix)
        x = skip + drop_path(self.attn(x, self.norm1, prefix), self.drop_path, self.training)
        skip = norm_linear(self.norm2, self.widen, x) if self.widen is not None and self.late else x
        return skip + drop_path(self.mlp(x, self.norm2), self.drop_path, self.training)

    def _pool(self, x: Tensor, prefix: int) -> Tensor:
        """Max-pool the patches in 3 x 3 windows per frame; prefix tokens are unchanged."""
        first, rest = x.split([prefix, x.shape[1] - prefix], 1)
        rest = rearrange(rest, "b (t h w) d -> (b t) d h w", t=self.grid[0], h=self.grid[1])
        rest = F.max_pool2d(rest.contiguous(memory_format=torch.channels_last), 3, self.stride, padding=1)
        return torch.cat([first, rearrange(rest, "(b t) d h w -> b (t h w) d", b=len(x))], 1)
