"""UniFormerV2 from its description, with the names of the public code: tokens first, frames as a batch, plain loops."""

from typing import Any, cast

import torch
from torch import Tensor, nn


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


def mlp(dim: int, dropout: bool) -> nn.Sequential:
    layers = nn.Sequential()
    layers.add_module("c_fc", nn.Linear(dim, 4 * dim))
    layers.add_module("gelu", QuickGELU())
    if dropout:
        layers.add_module("dropout", nn.Dropout(0.5))
    layers.add_module("c_proj", nn.Linear(4 * dim, dim))
    return layers


class LocalMHRA(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        narrow = int(dim / 1.5)
        self.pos_embed = nn.Sequential(
            nn.BatchNorm3d(dim),
            nn.Conv3d(dim, narrow, 1),
            nn.Conv3d(narrow, narrow, (3, 1, 1), padding=(1, 0, 0), groups=narrow),
            nn.Conv3d(narrow, dim, 1),
        )


class ResBlock(nn.Module):
    def __init__(self, dim: int, heads: int, local: bool):
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = mlp(dim, dropout=False)
        if local:
            self.lmhra1, self.lmhra2 = LocalMHRA(dim), LocalMHRA(dim)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """l n*t d -> the same."""
        if hasattr(self, "lmhra1"):
            x = along_time(self.lmhra1, x, frames)
        y = self.ln_1(x)
        x = x + self.attn(y, y, y)[0]
        if hasattr(self, "lmhra2"):
            x = along_time(self.lmhra2, x, frames)
        return x + self.mlp(self.ln_2(x))


def along_time(local, x: Tensor, frames: int) -> Tensor:
    out = x.clone()
    side = round((len(x) - 1) ** 0.5)
    for n in range(x.shape[1] // frames):
        own = slice(n * frames, (n + 1) * frames)
        maps = x[1:, own].reshape(side, side, frames, -1).permute(3, 2, 0, 1)[None]  # 1 d t h w
        out[1:, own] += local.pos_embed(maps)[0].permute(2, 3, 1, 0).reshape(side * side, frames, -1)
    return out


class Extractor(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads)
        self.ln_1, self.ln_2, self.ln_3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = mlp(dim, dropout=True)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        keys = self.ln_3(tokens)
        query = query + self.attn(self.ln_1(query), keys, keys)[0]
        return query + self.mlp(self.ln_2(query))


class Transformer(nn.Module):
    def __init__(
        self, dim: int, heads: int, depth: int, readers: tuple[int, ...], local: bool, classes: int, frozen: bool
    ):
        super().__init__()
        self.readers = readers
        self.resblocks = nn.ModuleList(ResBlock(dim, heads, local) for _ in range(depth))
        self.dpe = nn.ModuleList(nn.Conv3d(dim, dim, 3, padding=1, groups=dim) for _ in readers)
        self.dec = nn.ModuleList(Extractor(dim, heads) for _ in readers)
        self.temporal_cls_token = nn.Parameter(torch.randn(1, 1, dim))
        if not frozen:
            self.balance = nn.Parameter(torch.randn(dim))
        self.proj = nn.Sequential(nn.LayerNorm(dim), nn.Dropout(0.5), nn.Linear(dim, classes))


class PublicUniformerV2(nn.Module):
    """b 3 t h w -> b classes, with `backbone.` before all names. frozen: the classifier reads the query alone."""

    def __init__(self, dim, heads, depth, patch, side, readers, local, classes, frozen=False):
        super().__init__()
        self.backbone = backbone = cast(Any, nn.Module())
        kernel, stride, padding = (3, 2, 1) if local else (1, 1, 0)
        backbone.conv1 = nn.Conv3d(3, dim, (kernel, patch, patch), (stride, patch, patch), (padding, 0, 0), bias=False)
        backbone.class_embedding = nn.Parameter(torch.randn(dim))
        backbone.positional_embedding = nn.Parameter(torch.randn((side // patch) ** 2 + 1, dim))
        backbone.ln_pre = nn.LayerNorm(dim)
        backbone.transformer = Transformer(dim, heads, depth, readers, local, classes, frozen)

    def forward(self, video: Tensor) -> Tensor:
        b: Any = self.backbone
        maps = b.conv1(video)  # b d t h w
        count, dim, frames, h, w = maps.shape
        patches = maps.permute(0, 2, 3, 4, 1).reshape(count * frames, h * w, dim)
        x = torch.cat([b.class_embedding.expand(count * frames, 1, dim), patches], 1) + b.positional_embedding
        x = b.ln_pre(x).transpose(0, 1)  # l n*t d
        t = b.transformer
        query = t.temporal_cls_token.repeat(1, count, 1)
        for i, block in enumerate(t.resblocks):
            x = block(x, frames)
            if i in t.readers:
                j = t.readers.index(i)
                each = []
                for n in range(count):
                    own = x[:, n * frames : (n + 1) * frames]  # l t d
                    places = own[1:].permute(2, 1, 0).reshape(1, dim, frames, h, w)
                    moved = own[1:] + t.dpe[j](places)[0].reshape(dim, frames, h * w).permute(2, 1, 0)
                    tokens = torch.cat([own[:1], moved]).reshape(-1, 1, dim)
                    each.append(t.dec[j](query[:, n : n + 1], tokens))
                query = torch.cat(each, 1)
        if not hasattr(t, "balance"):
            return t.proj(query[0])
        share = torch.sigmoid(t.balance)
        cls = x[0].reshape(count, frames, dim).mean(1)
        return t.proj((1 - share) * query[0] + share * cls)


def as_mmaction2(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the names of mmaction2's Recognizer3D, which has the last norm in the backbone and a head behind it."""
    names = {
        "backbone.transformer.proj.0.": "backbone.transformer.norm.",
        "backbone.transformer.proj.2.": "cls_head.fc_cls.",
    }
    renamed = {}
    for name, tensor in theirs.items():
        for old, new in names.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        renamed[name] = tensor
    return renamed
