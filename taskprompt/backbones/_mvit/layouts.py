"""Names of MViTv2's weights in public code bases. The content and order of each tensor is the same in all of them."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from taskprompt.core.layout import Layout, Tensors

BLOCK = r"((?:stages\.\d+\.)?blocks\.\d+)\."
# SlowFast's names; those of mmaction2 and timm differ only slightly.
RULES = {
    r"cls_token$": "cls",
    r"patch_embed\.proj(?:ection)?\.": "stem.",
    BLOCK + r"(?:proj|shortcut_proj_attn)\.": r"\1.widen.",
    BLOCK + r"attn\.pool_([qkv])\.": r"\1.attn.pool_\2.conv.",
    BLOCK + r"attn\.norm_([qkv])\.": r"\1.attn.pool_\2.norm.",
    BLOCK + r"attn\.rel_pos_([thw])$": r"\1.attn.positions.\2",
    BLOCK + r"mlp\.fc1\.": r"\1.mlp.up.",
    BLOCK + r"mlp\.fc2\.": r"\1.mlp.down.",
    r"(?:head\.projection|cls_head\.fc_cls|head\.fc)\.": "head.",
    r"norm3\.": "norm.",  # mmaction2 has a norm for each of the four stages' outputs: the last one
}
TORCHVISION = {
    r"pos_encoding\.class_token$": "cls",
    r"conv_proj\.": "stem.",
    BLOCK + r"project\.": r"\1.widen.",
    BLOCK + r"attn\.project\.0\.": r"\1.attn.proj.",
    BLOCK + r"attn\.pool_([qkv])\.pool\.": r"\1.attn.pool_\2.conv.",
    BLOCK + r"attn\.pool_([qkv])\.norm_act\.0\.": r"\1.attn.pool_\2.norm.",
    BLOCK + r"attn\.rel_pos_([thw])$": r"\1.attn.positions.\2",
    BLOCK + r"mlp\.0\.": r"\1.mlp.up.",
    BLOCK + r"mlp\.3\.": r"\1.mlp.down.",
    r"head\.1\.": "head.",
}


def in_a_row(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """timm numbers the blocks per stage: stages.1.blocks.0 is the block after the last one of stage 0."""
    places = {tuple(map(int, m.groups())) for n in tensors if (m := re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", n))}
    row = {place: i for i, place in enumerate(sorted(places))}

    def block(match: re.Match) -> str:
        return f"blocks.{row[int(match[1]), int(match[2])]}."

    return {re.sub(r"\Astages\.(\d+)\.blocks\.(\d+)\.", block, n): tensor for n, tensor in tensors.items()}


def fixed(tensors: Tensors, config: str) -> dict[str, object]:
    """Fields of the backbone: `widen` from the shapes of the blocks, `summary` from SlowFast's configuration, if
    any."""
    downs = [t for name, t in tensors.items() if name.endswith(".mlp.down.weight") and t.ndim == 2]
    late = any(t.shape[1] != 4 * t.shape[0] for t in downs)
    fields: dict[str, object] = {"widen": "mlp" if late else "attention"} if downs else {}
    if pooled := re.search(r"^ +USE_MEAN_POOLING: (true|false)$", config, re.MULTILINE | re.IGNORECASE):
        fields["summary"] = "mean" if pooled[1].lower() == "true" else "cls"
    return fields


# Image models have neither CLS nor temporal positions; MaskFeat's models before fine-tuning have no final norm.
ANEW = ("cls$", r"blocks\.\d+\.attn\.positions\.t$", r"norm\.")
COMMON: dict[str, Any] = {"anew": ANEW, "settings": fixed}
LAYOUTS = (
    # Also facebookresearch/mvit, whose image models have 2D kernels and no temporal positions.
    Layout("slowfast", ("patch_embed.proj.weight", "blocks.0.attn.rel_pos_h"), RULES, **COMMON),
    Layout("mmaction2", ("patch_embed.projection.weight", "blocks.0.attn.rel_pos_h"), RULES, ("backbone.",), **COMMON),
    Layout("torchvision", ("conv_proj.weight", "blocks.0.attn.rel_pos_h"), TORCHVISION, **COMMON),
    Layout("timm", ("patch_embed.proj.weight", "stages.0.blocks.0.attn.rel_pos_h"), RULES, change=in_a_row, **COMMON),
)
