"""Softmax attention, and self-attention over all tokens."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from taskprompt.nn.recompute import norm_linear


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """b n g c, b m g c, b m g d -> b n g d, d <= c: softmax(scale q . k) v per head g; scale None: c ** -0.5."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    width = v.shape[-1]
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        # The fused CPU kernel multiplies bf16 no faster than float32; plain products run at twice its speed.
        logits = q @ (k * (q.shape[-1] ** -0.5 if scale is None else scale)).mT
        return (logits.softmax(-1).to(v.dtype) @ v).transpose(1, 2)
    if width < q.shape[-1]:
        v = F.pad(v, (0, q.shape[-1] - width))  # fused kernels need equal widths
    return F.scaled_dot_product_attention(q, k, v, scale=scale)[..., :width].transpose(1, 2)


class Attention(nn.Module):
    """b n d -> b n d: the norm passed to it, if any, then multi-head self-attention over all tokens."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, norm: nn.LayerNorm | None = None) -> Tensor:
        q, k, v = rearrange(norm_linear(norm, self.qkv, x), "b n (three g d) -> three b n g d", three=3, g=self.heads)
        return self.proj(attend(q, k, v).flatten(2))
