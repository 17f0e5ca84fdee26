"""timm: a vision transformer of timm, applied to each frame: ViT, DeiT III, DINOv2 and similar."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError, nearest
from taskprompt.core.layout import Layout, Tensors, grid_of
from taskprompt.core.model import Backbone, Encoder
from taskprompt.core.normalization import Normalization, of_mapping
from taskprompt.core.types import Dims
from taskprompt.nn.blocks import level_blocks
from taskprompt.nn.frames import FrameEncoder
from taskprompt.nn.vit import Size, patch_dims


def _placed(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """Add the position embeddings of the tokens before the patches to them, if the table has rows for them."""
    before = [tensors[n].flatten(0, -2) for n in ("cls_token", "reg_token") if n in tensors]
    first, rows = torch.cat(before), tensors["pos_embed"].flatten(0, -2)
    if first.shape[1:] != rows.shape[1:]:
        raise SpecError(f"its tokens are {first.shape[-1]} wide and their places {rows.shape[-1]}.")
    if round(len(rows) ** 0.5) ** 2 != len(rows):  # pretrained models have square images
        first, rows = first + rows[: len(first)], rows[len(first) :]
    found = {n: t for n, t in tensors.items() if n not in ("cls_token", "reg_token", "pos_embed")}
    return {**found, "first": first, "place": grid_of(rows)}


TIMM = Layout(
    "timm",
    ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
    {r"patch_embed\.proj\.": "stem.", r"blocks\.(\d+)\.": r"blocks.\1.block."},
    unless=("time_embed", "temp_embed", "dist_token"),
    change=_placed,
)


class Timm(Backbone):
    """A vision transformer of timm, applied to each frame: ViT, DeiT III, DINOv2, and others with CLS."""

    layouts = (TIMM,)
    model: str = "deit3_base_patch16_224"  # timm's name
    drop_path: float = Field(default=0.0, ge=0, lt=1)  # chance of skipping the last block, falling to 0 at the first
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if timm has no such transformer, or the clip is not a whole number of patches."""
        tower = _tower(self.model)
        size = Size(tower.embed_dim, len(tower.blocks), 1)
        return patch_dims(clip, (1, *tower.patch_embed.patch_size), size, self.levels)

    def normalization(self) -> Normalization | None:
        """From timm's pretrained configuration of the model, and of the tag in its name if there is one."""
        import timm

        _require(self.model)
        config = timm.get_pretrained_cfg(self.model)
        return config and of_mapping({"mean": config.mean, "std": config.std}, f"timm's configuration of {self.model}")

    def build(self, clip: ClipSpec) -> Encoder:
        """The transformer with random weights; the recipe's `weights` loads a file."""
        dims = self.dims(clip)  # raises if the clip does not fit
        tower = _tower(self.model, img_size=(clip.height, clip.width), drop_path_rate=self.drop_path)
        return TimmEncoder(tower, dims, level_blocks(self.levels, len(tower.blocks)))


class TimmEncoder(FrameEncoder):
    """Blocks, norms and patch embedding are timm's modules; `first`, CLS and registers, includes their positions."""

    def __init__(self, tower: Any, dims: Dims, taps: tuple[int, ...]):
        super().__init__(dims, tower.blocks, tower.norm, taps)
        before = [t.detach().flatten(0, -2) for t in (tower.cls_token, tower.reg_token) if t is not None]
        first, rows = torch.cat(before), tower.pos_embed.detach().flatten(0, -2)
        if not tower.no_embed_class:
            first, rows = first + rows[: len(first)], rows[len(first) :]
        self.stem, self.norm_pre = tower.patch_embed.proj, tower.norm_pre
        self.first = nn.Parameter(first)
        self.place = nn.Parameter(rows.unflatten(0, dims.grid[1:]).clone())

    def embed(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        patches = self.stem(frames).flatten(2).mT + self.place.flatten(0, 1)
        x = self.norm_pre(torch.cat([self.first.expand(len(frames), -1, -1), patches], 1))
        return x[:, : len(self.first)], x[:, len(self.first) :]

    def position_embeddings(self) -> dict[str, str]:
        """Spatial positions."""
        return {"place": "h w"}


def _tower(model: str, **options: Any) -> Any:
    """timm's model without classifier. Raises SpecError if it is not a vision transformer with CLS."""
    import timm
    from timm.models.vision_transformer import VisionTransformer

    _require(model)
    with torch.device("meta") if not options else nullcontext():
        tower = timm.create_model(model, pretrained=False, num_classes=0, **options)
    if not isinstance(tower, VisionTransformer) or tower.cls_token is None or tower.global_pool != "token":
        raise SpecError(
            f"model: {model!r} is not a vision transformer with CLS. Use one such as deit3_base_patch16_224."
        )
    if tower.pos_embed is None:
        raise SpecError(f"model: {model!r} has no position embeddings. Use one such as deit3_base_patch16_224.")
    return tower


def _require(model: str) -> None:
    """Raises SpecError if timm has no model of this name, or no weights for the tag in it."""
    import timm

    if not timm.is_model(model):
        near = nearest(model, timm.list_models())
        raise SpecError(f"model: timm has no model {model!r}{near} See timm.list_models().")
    name, dot, tag = model.partition(".")
    tags = [m.partition(".")[2] for m in timm.list_pretrained(f"{name}.*")]
    if dot and tag not in tags:
        near = nearest(tag, tags)
        raise SpecError(f"model: timm has no weights {tag!r} of {name}{near} It has: {', '.join(tags) or 'none'}.")
