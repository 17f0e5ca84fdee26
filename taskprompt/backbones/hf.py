"""hf: video transformers of the transformers library: VideoMAE, V-JEPA 2, ViViT, TimeSformer, X-CLIP."""

import dataclasses
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einops import rearrange, reduce
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import LayoutError, SpecError, nearest
from taskprompt.core.layout import Layout, Tensors
from taskprompt.core.model import Backbone, Encoder, Prompts
from taskprompt.core.normalization import RGB, Normalization, in_folder
from taskprompt.core.types import Dims, Features
from taskprompt.nn.blocks import level_blocks, require_clip
from taskprompt.nn.vit import Size, patch_dims


@dataclass(frozen=True, slots=True)
class Family:
    """Differences between the classes: their call, the names of the clip's shape in their configurations, and the order
    of patch tokens in their output, in einops notation."""

    model: str  # class of transformers
    tokens: str = "b (t h w) d"
    cls: bool = False  # whether a CLS token comes first
    frames: str = "num_frames"
    side: str = "image_size"
    video: str = "pixel_values"  # the name of the input
    mean: RGB = (0.485, 0.456, 0.406)  # of most public files of this type: ImageNet's
    std: RGB = (0.229, 0.224, 0.225)

    @property
    def frame_by_frame(self) -> bool:
        """Whether it treats frames as separate samples."""
        return self.tokens.startswith("(b t)")


FAMILIES = {
    "videomae": Family("VideoMAEModel"),
    "vjepa2": Family("VJEPA2Model", frames="frames_per_clip", side="crop_size", video="pixel_values_videos"),
    "vivit": Family("VivitModel", cls=True, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "timesformer": Family(
        "TimesformerModel", "b (h w t) d", cls=True, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)
    ),
    "xclip_vision_model": Family("XCLIPVisionModel", "(b t) (h w) d", cls=True),
}
# Renamed parameters: names in public files -> names of current classes; all that match, in this order.
RENAMED = [
    (r"\.attention\.attention\.q_bias$", ".attention.attention.query.bias"),
    (r"\.attention\.attention\.v_bias$", ".attention.attention.value.bias"),
]
RENAMED_VIVIT = [
    (r"^body\.encoder\.layer\.", "body.layers."),
    (r"\.attention\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".attention.\1_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
]


def _today(tensors: Tensors, own: Any) -> Tensors:
    """Rename tensors to the names of current classes: transformers has renamed some since the files were published."""
    renames = RENAMED_VIVIT if "body.layers.0.mlp.fc1.weight" in own else RENAMED
    found = {}
    for name, tensor in tensors.items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        found[name] = tensor
    return found


def _layout(name: str, prefixes: tuple[str, ...], *marks: str, unless: tuple[str, ...] = ()) -> Layout:
    rules = {r"classifier\.": "head.", r"fc_norm\.": "norm.", "": "body."}
    # VideoMAE before fine-tuning has no norm after the mean.
    return Layout(f"transformers, {name}", marks, rules, prefixes, unless, _today, anew=(r"norm\.",))


TABLE = "embeddings.position_embeddings"
LAYOUTS = (
    _layout("TimeSformer", ("timesformer.", ""), TABLE, "embeddings.time_embeddings"),
    _layout("ViViT", ("vivit.", ""), TABLE, "embeddings.cls_token", unless=("embeddings.time_embeddings",)),
    _layout("X-CLIP", ("vision_model.", ""), "embeddings.class_embedding", "encoder.layers.0.message_fc.weight"),
    _layout("V-JEPA 2", ("vjepa2.", ""), "encoder.embeddings.patch_embeddings.proj.weight"),
    _layout(
        "VideoMAE",
        ("videomae.", ""),
        "embeddings.patch_embeddings.projection.weight",
        "encoder.layer.0.attention.attention.query.weight",
        unless=(TABLE,),
    ),
)


class Hf(Backbone):
    """A video transformer of the transformers library: VideoMAE, V-JEPA 2, ViViT, TimeSformer, X-CLIP's vision part.

    These models do not accept prompt tokens, so the prompter must be `processors` (FTP) or `none`."""

    layouts = LAYOUTS
    model: str = "videomae"  # model type of transformers, a folder with config.json, or a name on the hub
    config: dict[str, Any] = Field(default_factory=dict)  # changes of its configuration
    levels: tuple[int, ...] | None = None  # blocks, from 0, that dense heads read; null: 2, 12, 15 of 16, or as far in

    def dims(self, clip: ClipSpec) -> Dims:
        """Raises SpecError if transformers has no such model, or the clip is not square or not of whole patches."""
        config = read_config(self.model, self.config)
        if not 1 <= config.num_hidden_layers <= 1000:
            raise SpecError(f"config.num_hidden_layers: found {config.num_hidden_layers}, expected 1 to 1000.")
        if clip.height != clip.width:
            raise SpecError(
                f"the clip is {clip.height} x {clip.width}, expected a square: these models take no others."
            )
        size = Size(config.hidden_size, config.num_hidden_layers, 1)
        return dataclasses.replace(
            patch_dims(clip, patch_of(config), size, self.levels), widths=(), accepts_prompts=False
        )

    def normalization(self) -> Normalization | None:
        """From its processor's configuration in the folder or on the hub; else the usual values of its type."""
        if Path(self.model).is_dir() and (found := in_folder(self.model)):
            return found
        if not Path(self.model).is_dir() and _type_of(self.model) not in FAMILIES and (found := _on_hub(self.model)):
            return found
        family = FAMILIES.get(read_config(self.model, {}).model_type)
        return family and Normalization(family.mean, family.std, f"the usual values of {family.model}")

    def build(self, clip: ClipSpec) -> Encoder:
        """The model with random weights; the recipe's `weights` loads a file."""
        return HfEncoder(self, clip)


class HfEncoder(Encoder):
    """b t h w c -> Features. The summary is CLS, the mean over frames where each has one, or the mean of the patches.

    The norm between the last block and a classifier, of CLS or of that mean, is applied."""

    def __init__(self, spec: Hf, clip: ClipSpec):
        super().__init__()
        import transformers

        config = read_config(spec.model, spec.config)
        self.family = FAMILIES[config.model_type]
        self.size, self.grid = (clip.frames, clip.height, clip.width), spec.dims(clip).grid
        self.taps = level_blocks(spec.levels, config.num_hidden_layers)
        config.update({self.family.frames: clip.frames, self.family.side: clip.height})
        body = getattr(transformers, self.family.model)(config)
        for unused in ("pooler", "predictor"):  # BERT-style pooler; V-JEPA's predictor for pretraining
            if hasattr(body, unused):
                setattr(body, unused, None)
        self.body = body
        pooled = getattr(config, "use_mean_pooling", False)  # VideoMAE's classifier normalises the mean
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if pooled else nn.Identity()

    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        require_clip(video, self.size)
        if prompts is not None:
            raise LayoutError("this encoder does not accept prompt tokens. Use the prompter `processors` or `none`.")
        frames = rearrange(video, "b t h w c -> b t c h w")
        out = self._run(frames)
        x = out.last_hidden_state
        first, patches = (x[:, 0], x[:, 1:]) if self.family.cls else (None, x)
        maps = self._maps(patches)
        if first is None:
            summary = reduce(maps, "b t h w d -> b d", "mean")
        elif self.family.frame_by_frame:
            summary = reduce(self.body.post_layernorm(first), "(b t) d -> b d", "mean", b=len(video))
        else:
            summary = first
        levels = tuple(self._maps(out.hidden_states[i + 1][:, int(self.family.cls) :]) for i in self.taps)
        return Features(self.norm(summary), maps, {}, levels), None

    def _run(self, frames: Tensor) -> Any:
        """b t c h w -> the output of transformers' class."""
        options: dict[str, Any] = {"output_hidden_states": bool(self.taps)}
        if self.family.frame_by_frame:
            frames = rearrange(frames, "b t c h w -> (b t) c h w")
        if self.family.model == "VJEPA2Model":
            options["skip_predictor"] = True
        if self.checkpointing and not self.body.is_gradient_checkpointing:
            self.body.gradient_checkpointing_enable({"use_reentrant": False})
        elif self.body.is_gradient_checkpointing and not self.checkpointing:
            self.body.gradient_checkpointing_disable()
        return self.body(**{self.family.video: frames}, **options)

    def _maps(self, patches: Tensor) -> Tensor:
        t, h, w = self.grid
        return rearrange(patches, f"{self.family.tokens} -> b t h w d", t=t, h=h, w=w)


def read_config(model: str, changes: dict[str, Any]) -> Any:
    """transformers' configuration with some values changed. Raises SpecError if it is not one of FAMILIES."""
    try:
        from transformers import AutoConfig
    except ImportError as e:
        raise SpecError("hf needs transformers. Install taskprompt[hf].") from e
    name = _type_of(model)
    try:
        config = AutoConfig.for_model(name) if name in FAMILIES else AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as e:
        why = str(e).splitlines()[0]
        raise SpecError(
            f"model: {model!r} is not a supported model type ({', '.join(FAMILIES)}), not a folder with config.json, "
            f"and was not found on the hub: {why}"
        ) from e
    config = getattr(config, "vision_config", config)
    if config.model_type not in FAMILIES:
        raise SpecError(f"model: {model!r} is a {config.model_type}, expected one of {', '.join(FAMILIES)}.")
    for key in changes:
        if not hasattr(config, key):
            near = nearest(key, list(config.to_dict()))
            raise SpecError(f"config.{key}: the configuration of {config.model_type} has no such value{near}")
    config.update(changes)
    return config


def _type_of(model: str) -> str:
    return "xclip_vision_model" if model == "xclip" else model


def _on_hub(model: str) -> Normalization | None:
    """From the configuration of a processor on the hub; None if there is none, or the hub cannot be reached."""
    from transformers.utils.hub import cached_file

    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    for name in ("video_preprocessor_config.json", "preprocessor_config.json"):
        with suppress(OSError, ValueError):
            file = cached_file(model, name, **quiet)
            if file is not None and (found := in_folder(Path(file).parent)):
                return found
    return None


def patch_of(config: Any) -> tuple[int, int, int]:
    """Frames, height and width of a patch."""
    tube, side = getattr(config, "tubelet_size", 1), getattr(config, "patch_size", None)
    return tuple(tube) if isinstance(tube, (list, tuple)) else (tube, side, side)  # type: ignore[return-value]
