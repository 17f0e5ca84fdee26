"""Motionformer with the names of its public code, computed frame by frame as its paper says it (sections 3.1, 3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Trajectories(nn.Module):
    """b (1 + t n) d -> the same; `project_values` as in the paper, without as in the published weights."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj_q = nn.Linear(dim, dim)
        self.proj_kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, frames: int, project_values: bool) -> Tensor:
        q, k, v = (self.apart(part) for part in self.qkv(x).chunk(3, -1))
        cls = self.attend(q[:, :, :1], k, v)
        seen = zip(k[:, :, 1:].chunk(frames, 2), v[:, :, 1:].chunk(frames, 2), strict=True)
        paths = torch.stack([self.attend(q[:, :, 1:], *frame) for frame in seen], 2)  # b s t d
        frame_of = torch.arange(frames).repeat_interleave(paths.shape[1] // frames)
        own = paths[:, torch.arange(paths.shape[1]), frame_of]
        keys, values = self.proj_kv(paths).chunk(2, -1)
        queries = self.apart(self.proj_q(own)[:, :, None])
        along = self.attend(queries, self.apart(keys), self.apart(values if project_values else paths))
        return self.proj(torch.cat([cls, along[:, :, 0]], 1))

    def apart(self, x: Tensor) -> Tensor:
        """... n d -> ... g n c, heads before tokens."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """... g n c -> ... n d."""
        share = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return (share @ v).transpose(-3, -2).flatten(-2)


class Block(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dim, eps=1e-6) for _ in range(2))
        self.attn = Trajectories(dim, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})

    def forward(self, x: Tensor, frames: int, project_values: bool) -> Tensor:
        x = x + self.attn(self.norm1(x), frames, project_values)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class PublicMotionformer(nn.Module):
    """b t h w c -> b d, CLS behind the norm. Its places are for side x side patches: 14 x 14 in the public code."""

    def __init__(self, dim: int, depth: int, heads: int, frames: int, side: int, classes: int = 174):
        super().__init__()
        self.side = side
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, 16, stride=16)})  # idle
        self.patch_embed_3d = nn.ModuleDict({"proj": nn.Conv3d(3, dim, (2, 16, 16), stride=(2, 16, 16))})
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, side**2 + 1, dim))
        self.temp_embed = nn.Parameter(torch.empty(1, frames, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pre_logits = nn.ModuleDict({"fc": nn.Linear(dim, dim)})
        self.head = nn.Linear(dim, classes)

    def forward(self, video: Tensor, project_values: bool = False) -> Tensor:
        maps = self.patch_embed_3d["proj"](video.permute(0, 4, 1, 2, 3))
        b, d, t, h = maps.shape[:4]
        places = self.pos_embed[0, 1:].T.reshape(1, d, self.side, self.side)
        places = F.interpolate(places, scale_factor=h / self.side, mode="bicubic")  # for frames larger than trained on
        patches = maps + places[:, :, None] + self.temp_embed[0].T[:, :, None, None]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(b, -1, -1)
        x = torch.cat([cls, patches.flatten(2).mT], 1)
        for block in self.blocks:
            x = block(x, t, project_values)
        return self.norm(x)[:, 0]
