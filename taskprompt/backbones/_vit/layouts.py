"""Names of the weights of vit, timesformer and motionformer in public code bases."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from einops import repeat
from torch import Tensor

from taskprompt.core.layout import Layout, Tensors, grid_of

BLOCK = r"(blocks\.\d+)\."
LAYER = r"encoder\.layer\.(\d+)\."
# timm's names, which VideoMAE, TimeSformer and Motionformer also use.
TIMM = {
    r"cls_token$": "cls",
    r"pos_embed$": "place",
    r"patch_embed\.proj\.": "stem.",
    BLOCK + r"mlp\.fc1\.": r"\1.mlp.up.",
    BLOCK + r"mlp\.fc2\.": r"\1.mlp.down.",
    r"fc_norm\.": "norm.",  # of the patches' mean, instead of a norm of each patch
}
VIDEOMAE = {**TIMM, BLOCK + r"attn\.([qv])_bias$": r"\1.attn.\2.bias"}
TIMESFORMER = {
    **TIMM,
    r"time_embed$": "time",
    BLOCK + r"temporal_norm1\.": r"\1.time_norm.",
    BLOCK + r"temporal_attn\.": r"\1.time_attn.",
    BLOCK + r"temporal_fc\.": r"\1.time_fc.",
}
MOTIONFORMER = {
    **{pattern: new for pattern, new in TIMM.items() if new != "stem."},  # its file has an unused stem for images
    r"temp_embed$": "time",
    r"patch_embed_3d\.proj\.": "stem.",
    BLOCK + r"attn\.proj_q\.": r"\1.attn.frame_q.",
    r"pre_logits\.": "head.hidden.",  # so that a classifier of two layers is not mistaken for one layer
    r"head(\d)\.": r"head.\1.",  # of verbs and of nouns
}
TRANSFORMERS = {
    r"embeddings\.cls_token$": "cls",
    r"embeddings\.position_embeddings$": "place",
    r"embeddings\.time_embeddings$": "time",
    r"embeddings\.patch_embeddings\.projection\.": "stem.",
    LAYER + r"temporal_layernorm\.": r"blocks.\1.time_norm.",
    LAYER + r"temporal_attention\.attention\.": r"blocks.\1.time_attn.",
    LAYER + r"temporal_attention\.output\.dense\.": r"blocks.\1.time_attn.proj.",
    LAYER + r"temporal_dense\.": r"blocks.\1.time_fc.",
    LAYER + r"layernorm_before\.": r"blocks.\1.norm1.",
    LAYER + r"attention\.attention\.qkv\.": r"blocks.\1.attn.qkv.",
    LAYER + r"attention\.attention\.([qkv])(?:uery|ey|alue)\.": r"blocks.\1.attn.\2.",
    LAYER + r"attention\.attention\.([qv])_bias$": r"blocks.\1.attn.\2.bias",
    LAYER + r"attention\.output\.dense\.": r"blocks.\1.attn.proj.",
    LAYER + r"layernorm_after\.": r"blocks.\1.norm2.",
    LAYER + r"intermediate\.dense\.": r"blocks.\1.mlp.up.",
    LAYER + r"output\.dense\.": r"blocks.\1.mlp.down.",
    r"(?:layernorm|fc_norm)\.": "norm.",
    r"classifier\.": "head.",
}


def joined(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """attn.q, attn.k and attn.v become attn.qkv; VideoMAE's keys have no bias."""
    found = dict(tensors)
    for name, q in tensors.items():
        if name.endswith((".attn.q.weight", ".attn.q.bias")):
            parts = [name.replace(".attn.q.", f".attn.{part}.") for part in "qkv"]
            if name.endswith("bias"):
                found.setdefault(parts[1], torch.zeros_like(q))
            if found.keys() >= set(parts):
                found[name.replace(".attn.q.", ".attn.qkv.")] = torch.cat([found.pop(part) for part in parts])
    return found


def placed(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """The first row of their table belongs to CLS and is added to it; the others are a grid."""
    rows = tensors["place"].flatten(0, -2)
    found = {**tensors, "cls": tensors["cls"].reshape(rows[0].shape) + rows[0], "place": grid_of(rows[1:])}
    if "time" in found:
        found["time"] = found["time"].flatten(0, -2)
    return found


def in_every_frame(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """For image models: repeat the position embeddings over frames, if the encoder learns them."""
    found = placed(tensors, own)
    if "place" in own:
        found["place"] = repeat(found["place"], "h w d -> t h w d", t=len(own["place"]))
    return found


def with_time(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """For image models: temporal attention is copied from spatial attention, with a zero output layer, as in
    TimeSformer."""
    copies = {n.replace(".norm1.", ".time_norm.").replace(".attn.", ".time_attn."): t for n, t in tensors.items()}
    return placed(copies | tensors, own)


def by_frame(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """Split Motionformer's joint keys and values along a trajectory; drop those that our model does not have."""
    found = {}
    for name, tensor in placed(tensors, own).items():
        if ".attn.proj_kv." in name:
            for part, half in zip("kv", tensor.chunk(2), strict=True):
                found[name.replace(".proj_kv.", f".frame_{part}.")] = half
        else:
            found[name] = tensor
    return found


SPACE, TIME = ("cls_token", "pos_embed"), ("time_embed", "temp_embed")
THEIRS = "encoder.layer.0.attention.attention."
IMAGES = Layout(
    "timm",
    (*SPACE, "patch_embed.proj.weight", "blocks.0.attn.qkv.bias"),
    TIMM,
    # Temporal parameters; distillation token, registers, pre-norm, layer scale, query norm.
    unless=(*TIME, "dist_token", "reg_token", "norm_pre.weight", "blocks.0.ls1.gamma", "blocks.0.attn.q_norm.weight"),
    change=in_every_frame,
)

OF_VIT = (
    Layout(
        "videomae",
        ("blocks.0.attn.qkv.weight", "blocks.0.attn.q_bias"),
        VIDEOMAE,
        prefixes=("", "encoder."),  # fine-tuned; pretrained, whose decoder is not loaded
        unless=("cls_token", "blocks.0.gamma_1"),  # BEiT
        change=joined,
    ),
    Layout(
        "transformers",
        (f"{THEIRS}query.weight", f"{THEIRS}value.weight"),
        TRANSFORMERS,
        prefixes=("", "videomae."),
        unless=("embeddings.cls_token",),  # ViT, an image model
        change=joined,
    ),
    IMAGES,
)
OF_TIMESFORMER = (
    Layout(
        "timesformer",
        (*SPACE, "time_embed", "blocks.0.temporal_fc.weight"),
        TIMESFORMER,
        prefixes=("", "model."),
        change=placed,
    ),
    Layout(
        "transformers",
        tuple(f"embeddings.{table}" for table in ("cls_token", "position_embeddings", "time_embeddings")),
        TRANSFORMERS,
        prefixes=("", "timesformer."),
        change=placed,
    ),
    replace(IMAGES, change=with_time, anew=(r"time$", r"blocks\.\d+\.time_fc\.")),
)
OF_MOTIONFORMER = (
    Layout(
        "motionformer",
        (*SPACE, "temp_embed", "blocks.0.attn.proj_kv.weight"),
        MOTIONFORMER,
        change=by_frame,
        dropped=(r"blocks\.\d+\.attn\.frame_(v\.|k\.bias)",),
    ),
)
