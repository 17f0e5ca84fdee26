"""How public code bases name the weights of UniFormerV2, and those of the CLIP that it grows from."""

from taskprompt.backbones._vit.layouts import placed
from taskprompt.core.weights import Layout

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
}
MARKS = ("class_embedding", "positional_embedding", "transformer.resblocks.0.attn.in_proj_weight")
LAYOUTS = (
    Layout(
        "uniformerv2",
        (*MARKS, "transformer.temporal_cls_token", "transformer.dpe.0.weight"),
        WHOLE,
        ("backbone.", ""),
        change=placed,
    ),
    Layout("open_clip", MARKS, TRUNK, ("visual.", ""), unless=("transformer.temporal_cls_token",), change=placed),
)
