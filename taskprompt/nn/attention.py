"""Self-attention over all tokens."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class Attention(nn.Module):
    """b n d -> b n d: multi-head self-attention, every token to every token, fused."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (three g d) -> three b g n d", three=3, g=self.heads)
        return self.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "b g n d -> b n (g d)"))
