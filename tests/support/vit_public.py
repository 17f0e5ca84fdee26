"""Public models over whole patches, small and with random weights, and their tensors by the names of the public files.

VideoMAE and TimeSformer are transformers', the model of images is torchvision's. Names are those of the code bases'
own classes; what transformers and torchvision call otherwise is renamed here."""

import re
from typing import Any

import torch
from drawn import drawn
from torch import Tensor
from torchvision.models.vision_transformer import VisionTransformer
from transformers import (
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
)

from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone
from taskprompt.nn.vit import SIZES
from taskprompt.weights.match import Match, match

Tensors = dict[str, Tensor]

# transformers' names -> those of VideoMAE and TimeSformer; all that match, in this order.
TO_OFFICIAL = [
    (r"^(videomae|timesformer)\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.cls_token", "cls_token"),
    (r"^embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.time_embeddings", "time_embed"),
    (r"^encoder\.layer\.", "blocks."),
    (r"^decoder\.decoder_layers\.", "decoder.blocks."),
    (r"\.temporal_layernorm\.", ".temporal_norm1."),
    (r"\.temporal_attention\.attention\.", ".temporal_attn."),
    (r"\.temporal_attention\.output\.dense\.", ".temporal_attn.proj."),
    (r"\.temporal_dense\.", ".temporal_fc."),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.attn\.query\.bias$", ".attn.q_bias"),
    (r"\.attn\.value\.bias$", ".attn.v_bias"),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
]
# torchvision's names -> timm's; all that match, in this order.
TO_TIMM = [
    (r"^class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"\.ln_1\.", ".norm1."),
    (r"\.ln_2\.", ".norm2."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^encoder\.ln\.", "norm."),
    (r"^heads\.head\.", "head."),
]


def clip_of(frames: int, height: int, width: int) -> ClipSpec:
    return ClipSpec(frames=frames, height=height, width=width, fps=None)


def draw_video(clip: ClipSpec, count: int = 1) -> Tensor:
    """b t h w c, normalised."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, clip.frames, clip.height, clip.width, 3, generator=draw)


def words(size: str, classes: int) -> dict:
    """One of our sizes as transformers says it; the eps of the norms is that of the code bases themselves."""
    dim, depth, heads = SIZES[size].dim, SIZES[size].depth, SIZES[size].heads
    common = {"hidden_size": dim, "intermediate_size": 4 * dim, "num_hidden_layers": depth}
    return common | {"num_attention_heads": heads, "layer_norm_eps": 1e-6, "num_labels": classes}


def videomae_config(size: str, clip: ClipSpec, mean: bool, classes: int = 400) -> VideoMAEConfig:
    return VideoMAEConfig(
        **words(size, classes),
        image_size=(clip.height, clip.width),  # type: ignore[arg-type]
        num_frames=clip.frames,
        use_mean_pooling=mean,
        decoder_num_hidden_layers=1,
        decoder_hidden_size=64,
        decoder_num_attention_heads=2,
    )


def videomae(clip: ClipSpec, classes: int = 400, size: str = "tiny") -> VideoMAEForVideoClassification:
    """As fine-tuned: the patches' mean, then the norm."""
    model = drawn(VideoMAEForVideoClassification(videomae_config(size, clip, mean=True, classes=classes)))
    assert model.fc_norm is not None
    model.fc_norm.eps = 1e-6  # transformers leaves it at torch's 1e-5
    return model


def videomae_pretrained(clip: ClipSpec, size: str = "tiny") -> VideoMAEForPreTraining:
    """Its `videomae` norms every patch."""
    return drawn(VideoMAEForPreTraining(videomae_config(size, clip, mean=False)))


def timesformer(clip: ClipSpec, classes: int = 400, size: str = "tiny") -> TimesformerForVideoClassification:
    config = TimesformerConfig(**words(size, classes), image_size=clip.height, num_frames=clip.frames)
    return drawn(TimesformerForVideoClassification(config))


def images(side: int, classes: int = 1000) -> VisionTransformer:
    """b c h w -> b classes."""
    size = SIZES["tiny"]
    return drawn(VisionTransformer(side, 16, size.depth, size.heads, size.dim, 4 * size.dim, num_classes=classes))


def renamed(theirs: Tensors, names: list[tuple[str, str]]) -> Tensors:
    found = {}
    for name, tensor in theirs.items():
        for pattern, new in names:
            name = re.sub(pattern, new, name)
        found[name] = tensor
    return found


def as_hub(theirs: Tensors) -> Tensors:
    """As transformers wrote VideoMAE before its version 5, and as the files on its hub are."""
    inner = r"(attention\.attention)\."
    return renamed(theirs, [(inner + r"query\.bias", r"\1.q_bias"), (inner + r"value\.bias", r"\1.v_bias")])


def as_videomae(theirs: Tensors) -> Tensors:
    """By VideoMAE's own names: queries, keys and values have one matrix; pretraining's encoder is `encoder.`"""
    pretrained = any(name.startswith("decoder.") for name in theirs)
    found = renamed(theirs, TO_OFFICIAL)
    for name in [name for name in found if name.endswith(".query.weight")]:
        parts = [found.pop(name.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
        found[name.replace(".query.", ".qkv.")] = torch.cat(parts)
    inner = ("patch_embed.", "blocks.", "norm.")
    return {f"encoder.{n}" if pretrained and n.startswith(inner) else n: t for n, t in found.items()}


def as_timesformer(theirs: Tensors) -> Tensors:
    return {f"model.{n}": t for n, t in renamed(theirs, TO_OFFICIAL).items()}


def as_timm(theirs: Tensors) -> Tensors:
    return renamed(theirs, TO_TIMM)


def loaded(tensors: Tensors, spec: Backbone, clip: ClipSpec) -> tuple[Any, Match]:
    """Our encoder with their weights, strictly: what a file lacks, which is no error, is in the match's `missing`."""
    encoder = spec.build(clip).eval()
    done = match(tensors, encoder, spec)
    assert done is not None
    assert done.wrong == {}
    encoder.load_state_dict({n: t for n, t in encoder.state_dict().items() if n in done.missing} | done.tensors)
    return encoder, done


def block_names(*others: str) -> set[str]:
    """Of twelve blocks, what timm calls as all do, and what a code base adds: layers, or tensors with their ends."""
    layers = ("norm1", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2", *others)
    parts = {n if n.endswith(("weight", "_bias")) else f"{n}.{p}" for n in layers for p in ("weight", "bias")}
    return {f"blocks.{i}.{part}" for i in range(12) for part in parts}
