"""The sizes of MViTv2, and the width and grid at each block."""

from dataclasses import dataclass
from typing import Literal

Widen = Literal["attention", "mlp"]
Grid = tuple[int, int, int]  # t h w


@dataclass(frozen=True, slots=True)
class Size:
    """`widen`: the blocks that double width and heads and halve h and w of the queries."""

    depth: int
    dim: int  # of the first block
    heads: int  # of the first block
    widen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """Input and output sizes of one block; strides are for h and w."""

    dim_in: int
    dim: int  # of its attention
    dim_out: int
    heads: int
    stride: int  # of queries
    kv_stride: int
    grid_in: Grid
    grid: Grid  # of queries
    kv_grid: Grid


# S, B and L: SlowFast's configs MVITv2_{S_16x4,B_32x3,L_40x3}. tiny is our own, for CPUs.
SIZES = {
    "tiny": Size(depth=5, dim=48, heads=1, widen=(1, 3)),
    "S": Size(depth=16, dim=96, heads=1, widen=(1, 3, 14)),
    "B": Size(depth=24, dim=96, heads=1, widen=(2, 5, 21)),
    "L": Size(depth=48, dim=144, heads=2, widen=(2, 8, 44)),
}


def strided(grid: Grid, stride: tuple[int, int, int]) -> Grid:
    """The output grid of a strided convolution with `same` padding: rounded up."""
    t, h, w = (-(-n // s) for n, s in zip(grid, stride, strict=True))
    return t, h, w


def block_plans(size: Size, grid: Grid, widen: Widen = "attention") -> list[BlockPlan]:
    """One plan per block, for patches on `grid`; keys are pooled to the same grid in every stage.

    widen: the layer that doubles the width: a stage's first attention, or the feed-forward layer of the block
    before."""
    plans, dim_out, heads, kv_stride = [], size.dim, size.heads, 2 ** len(size.widen)
    for i in range(size.depth):
        stride = 1 + (i in size.widen)
        dim_in, heads = dim_out, heads * stride
        dim = dim_in * stride if widen == "attention" else dim_in
        dim_out = dim if widen == "attention" else dim * (1 + (i + 1 in size.widen))
        kv_stride //= stride
        out, kv = strided(grid, (1, stride, stride)), strided(grid, (1, kv_stride, kv_stride))
        plans.append(BlockPlan(dim_in, dim, dim_out, heads, stride, kv_stride, grid, out, kv))
        grid = out
    return plans
