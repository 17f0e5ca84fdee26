"""clip: the image tower of an open_clip model, applied to each frame."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from taskprompt.backbones._vit.layouts import placed
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError, nearest
from taskprompt.core.layout import Layout
from taskprompt.core.model import Backbone, Encoder
from taskprompt.core.normalization import Normalization, in_folder
from taskprompt.core.types import Dims
from taskprompt.nn.blocks import level_blocks
from taskprompt.nn.frames import FrameEncoder
from taskprompt.nn.vit import Size, patch_dims

OPEN_CLIP = Layout(
    "open_clip",
    ("class_embedding", "positional_embedding", "transformer.resblocks.0.attn.in_proj_weight"),
    {
        r"class_embedding$": "cls",
        r"positional_embedding$": "place",
        r"conv1\.": "stem.",
        r"transformer\.resblocks\.(\d+)\.": r"blocks.\1.block.",
        r"ln_pre\.": "norm_pre.",
        r"ln_post\.": "norm.",
    },
    prefixes=("visual.", ""),
    change=placed,
)


class Clip(Backbone):
    """The image tower of an open_clip model, applied to each frame: any of its vision transformers with CLS."""

    layouts = (OPEN_CLIP,)
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # RGB in 0..1, subtracted; OpenAI's
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)  # RGB in 0..1, divided by; OpenAI's
    model: str = "ViT-B-16-quickgelu"  # open_clip's name, or local-dir:FOLDER with an open_clip_config.json
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if open_clip has no such tower, or the clip is not a whole number of patches."""
        tower = tower_config(self.model)
        side = int(tower["patch_size"])
        depth, width = int(tower["layers"]), int(tower["width"])
        return patch_dims(clip, (1, side, side), Size(width, depth, 1), self.levels)

    def normalization(self) -> Normalization | None:
        """From open_clip_config.json if the model is a folder; for a model name it depends on the weights."""
        folder = self.model.partition("local-dir:")[2]
        return in_folder(folder) if folder else None

    def build(self, clip: ClipSpec) -> Encoder:
        """The tower with random weights; the recipe's `weights` loads a file."""
        import open_clip

        size, device = (clip.height, clip.width), torch.get_default_device()
        root = logging.getLogger()
        root.addFilter(_no_news)
        try:
            whole: Any = open_clip.create_model(self.model, force_image_size=size, load_weights=False, device=device)
        finally:
            root.removeFilter(_no_news)
        taps = level_blocks(self.levels, len(whole.visual.transformer.resblocks))
        return ClipEncoder(whole.visual, self.dims(clip), taps)


def _no_news(record: logging.LogRecord) -> bool:
    """Filter open_clip's warning about random weights, which are intended here."""
    return not record.getMessage().startswith("No pretrained weights loaded")


class ClipEncoder(FrameEncoder):
    """Blocks, norms and patch embedding are open_clip's modules; the position embedding of CLS is added to CLS."""

    def __init__(self, visual: Any, dims: Dims, taps: tuple[int, ...]):
        super().__init__(dims, visual.transformer.resblocks, visual.ln_post, taps)
        rows = visual.positional_embedding.detach()
        self.stem, self.norm_pre = visual.conv1, visual.ln_pre
        self.cls = nn.Parameter(visual.class_embedding.detach() + rows[0])
        self.place = nn.Parameter(rows[1:].unflatten(0, dims.grid[1:]).clone())

    def embed(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        patches = self.stem(frames).flatten(2).mT + self.place.flatten(0, 1)
        x = self.norm_pre(torch.cat([self.cls.expand(len(frames), 1, -1), patches], 1))
        return x[:, :1], x[:, 1:]

    def position_embeddings(self) -> dict[str, str]:
        """Spatial positions."""
        return {"place": "h w"}


def tower_config(model: str) -> dict[str, Any]:
    """open_clip's vision_cfg of a model; raises SpecError if it has none, or it is not a plain transformer."""
    import open_clip

    folder = model.partition("local-dir:")[2]
    if folder and not (path := Path(folder, "open_clip_config.json")).is_file():
        raise SpecError(f"model: no open_clip_config.json in {folder!r}. Give the folder of an open_clip model.")
    found = json.loads(path.read_text())["model_cfg"] if folder else open_clip.get_model_config(model)
    if found is None:
        near = nearest(model, open_clip.list_models())
        raise SpecError(f"model: open_clip has no model {model!r}{near} See open_clip.list_models().")
    tower = found["vision_cfg"]
    odd = [k for k in ("timm_model_name", "attentional_pool", "final_ln_after_pool") if tower.get(k)]
    if odd or not isinstance(tower.get("layers"), int) or tower.get("pool_type", "tok") != "tok":
        raise SpecError(
            f"model: the image tower of {model!r} is not a vision transformer with CLS. Use one such as ViT-B-16."
        )
    return tower
