"""Names of the weights of UniFormerV2, and of the CLIP towers that it starts from, in public code bases."""

from collections.abc import Mapping

import torch
from torch import Tensor

from taskprompt.backbones._vit.layouts import placed
from taskprompt.core.layout import Layout, Tensors

BLOCK = r"transformer\.resblocks\.(\d+)\."
DEC = r"transformer\.dec\.(\d+)\."
TRUNK = {
    r"class_embedding$": "cls",
    r"positional_embedding$": "place",
    r"conv1\.": "stem.",
    r"ln_pre\.": "norm_pre.",
    BLOCK + r"attn\.in_proj_": r"blocks.\1.attn.qkv.",
    BLOCK + r"attn\.out_proj\.": r"blocks.\1.attn.proj.",
    BLOCK + r"ln_([12])\.": r"blocks.\1.norm\2.",
    BLOCK + r"mlp\.c_fc\.": r"blocks.\1.up.",
    BLOCK + r"mlp\.c_proj\.": r"blocks.\1.down.",
}
WHOLE = {
    **TRUNK,
    BLOCK + r"lmhra([12])\.pos_embed\.": r"blocks.\1.local\2.",
    r"transformer\.temporal_cls_token$": "query",
    r"transformer\.balance$": "balance",
    r"transformer\.dpe\.(\d+)\.": r"global_blocks.\1.place.",
    DEC + r"ln_1\.": r"global_blocks.\1.norm_query.",
    DEC + r"ln_2\.": r"global_blocks.\1.norm2.",
    DEC + r"ln_3\.": r"global_blocks.\1.norm_tokens.",
    DEC + r"mlp\.c_fc\.": r"global_blocks.\1.up.",
    DEC + r"mlp\.c_proj\.": r"global_blocks.\1.down.",
    DEC: r"global_blocks.\1.",
    r"transformer\.proj\.0\.": "norm.",
    r"transformer\.proj\.2\.": "head.",
    # mmaction2 has this norm outside the blocks, and a different classifier.
    r"transformer\.norm\.": "norm.",
    r"cls_head\.fc_cls\.": "head.",
}
QUERY_ALONE = -200.0  # sigmoid of it is 0 in float32


def placed_whole(tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """Models with a frozen trunk read only the query: their files have no balance, which is set so that CLS has weight
    0."""
    found = placed(tensors, own)
    if "balance" in own and "balance" not in found:
        found["balance"] = torch.full(own["balance"].shape, QUERY_ALONE)
    return found


MARKS = ("class_embedding", "positional_embedding", "transformer.resblocks.0.attn.in_proj_weight")
LAYOUTS = (
    Layout(
        "uniformerv2",
        (*MARKS, "transformer.temporal_cls_token", "transformer.dpe.0.weight"),
        WHOLE,
        ("backbone.", ""),
        change=placed_whole,
    ),
    Layout(
        "open_clip",
        MARKS,
        TRUNK,
        ("visual.", ""),
        unless=("transformer.temporal_cls_token",),
        change=placed,
        anew=("query$", "balance$", r"global_blocks\.", r"norm\.", r"blocks\.\d+\.local[12]\."),
    ),
)
