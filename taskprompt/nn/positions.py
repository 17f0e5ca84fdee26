"""Decomposed relative positions: a bias on attention logits that depends on the distances in t, h and w separately."""

import torch
from einops import rearrange
from torch import Tensor, nn

Grid = tuple[int, int, int]  # t h w


def distances(queries: int, keys: int) -> Tensor:
    """queries keys, int64: the row of the table for each pair on one axis; a strided axis uses the finer scale.

    The table has 2 max(queries, keys) - 1 rows (SlowFast, `cal_rel_pos_spatial`)."""
    fine = max(queries, keys)
    q = torch.arange(queries)[:, None] * (fine / queries)
    k = torch.arange(keys)[None] * (fine / keys)
    return (q - k + (keys - 1) * (fine / keys)).long()


class RelativePositions(nn.Module):
    """logit bias of query i, key j = q_i . R_t[t_i - t_j] + q_i . R_h[h_i - h_j] + q_i . R_w[w_i - w_j] (MViTv2 eq. 4).

    The bias is never materialised as queries x keys: `extend` adds t + h + w columns to the queries, `columns` as many
    to the keys, so that their dot product is the bias and one fused attention call is enough."""

    columns: Tensor

    def __init__(self, queries: Grid, keys: Grid, dim: int):
        super().__init__()
        self.rows = tuple(2 * max(q, k) - 1 for q, k in zip(queries, keys, strict=True))
        self.t, self.h, self.w = (nn.Parameter(torch.empty(n, dim)) for n in self.rows)
        for table in (self.t, self.h, self.w):
            nn.init.trunc_normal_(table, std=0.02)
        for axis, q, k in zip("thw", queries, keys, strict=True):
            self.register_buffer(f"index_{axis}", distances(q, k), persistent=False)
        self.register_buffer("columns", one_hot_positions(keys), persistent=False)

    def extend(self, q: Tensor) -> Tensor:
        """b t h w g c -> b t h w g (c + columns): queries, followed by their unscaled products with the tables."""
        b, t, h, w, g, _ = q.shape
        # Each product reads q in place: axes are merged only if the strides allow it, so nothing is copied.
        by_t = q.flatten(2, 4) @ self._table("t")
        by_h = q.flatten(3, 4) @ self._table("h")
        by_w = rearrange(q, "b t h w g c -> w g (b t h) c") @ self._table("w")[:, None]
        parts = (
            rearrange(by_t, "b t (h w g) k -> b t h w g k", h=h, w=w),
            rearrange(by_h, "b t h (w g) k -> b t h w g k", w=w),
            rearrange(by_w, "w g (b t h) k -> b t h w g k", b=b, t=t),
        )
        spare = self.columns.shape[1] - sum(p.shape[-1] for p in parts)
        return torch.cat([q, *(p.to(q.dtype) for p in parts), q.new_zeros(b, t, h, w, g, spare)], -1)

    def _table(self, axis: str) -> Tensor:
        """queries c keys: the vectors of one axis for each pair."""
        return getattr(self, axis)[getattr(self, f"index_{axis}")].transpose(1, 2)


def one_hot_positions(grid: Grid, multiple: int = 8) -> Tensor:
    """(t h w) k: one row per position, the concatenated one-hot vectors of its t, h and w.

    k is t + h + w, zero-padded to the multiple that fused kernels on GPUs require."""
    t, h, w = grid
    places = torch.cartesian_prod(torch.arange(t), torch.arange(h) + t, torch.arange(w) + t + h)
    width = -(-(t + h + w) // multiple) * multiple
    return torch.zeros(len(places), width).scatter_(1, places, 1.0)
