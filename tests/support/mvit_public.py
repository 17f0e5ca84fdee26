"""MViTv2 as torchvision has it, in our size tiny with random weights, and its tensors by names of other code bases."""

import re

import torch
from torch import Tensor
from torchvision.models.video.mvit import MSBlockConfig, MViT

from taskprompt.backbones._mvit.sizes import SIZES, block_plans, strided

Tensors = dict[str, Tensor]

# What SlowFast's `MultiScaleBlock` and `MultiScaleAttention` have as names: layers with weight and bias, and others.
LAYERS = ("norm1", "attn.qkv", "attn.proj", "attn.norm_q", "attn.norm_k", "attn.norm_v", "norm2", "mlp.fc1", "mlp.fc2")
OTHERS = (*(f"attn.rel_pos_{axis}" for axis in "thw"), *(f"attn.pool_{part}.weight" for part in "qkv"))
# torchvision's names -> SlowFast's; all that match, in this order.
TO_SLOWFAST = [
    (r"^pos_encoding\.class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^(blocks\.\d+)\.project\.", r"\1.proj."),
    (r"\.attn\.project\.0\.", ".attn.proj."),
    (r"\.pool_([qkv])\.pool\.", r".pool_\1."),
    (r"\.pool_([qkv])\.norm_act\.0\.", r".norm_\1."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^head\.1\.", "head.projection."),
]


def reference(clip: tuple[int, int, int], classes: int = 400, *, late: bool = False) -> MViT:
    """torchvision's model of our size tiny, in eval mode, for clips of this shape; no weight of it is just 0 or 1.

    late: the width doubles in feed-forward layers, not in attention."""
    plans = block_plans(SIZES["tiny"], strided(clip, (2, 4, 4)), "mlp" if late else "attention")
    kernel = [3, 3, 3]
    settings = [
        MSBlockConfig(
            p.heads, p.dim_in, p.dim_out, kernel, kernel, [1, p.stride, p.stride], [1, p.kv_stride, p.kv_stride]
        )
        for p in plans
    ]
    model = MViT(
        spatial_size=clip[1:],
        temporal_size=clip[0],
        block_setting=settings,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=not late,
        num_classes=classes,
    )
    draw = torch.Generator().manual_seed(classes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return model.eval()


def of_mean(model: MViT, pixels: Tensor) -> Tensor:
    """Logits of the norm of the patches' mean, as SlowFast has them with USE_MEAN_POOLING. b c t h w -> b classes."""
    seen: list[Tensor] = []
    hook = model.norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(pixels)
    hook.remove()
    return model.head(model.norm(seen[0][:, 1:].mean(1)))


def shown_at(model: MViT, clip: tuple[int, int, int]) -> MViT:
    """The model for clips of another shape: it then interpolates its relative positions while it runs."""
    t, h, w = strided(clip, (2, 4, 4))
    model.pos_encoding.temporal_size, model.pos_encoding.spatial_size = t, (h, w)
    return model


def slowfast_names(depth: int, widen: tuple[int, ...]) -> set[str]:
    """The names of SlowFast's state dict."""
    layers = [f"blocks.{i}.{name}" for i in range(depth) for name in LAYERS] + [f"blocks.{i}.proj" for i in widen]
    layers += ["patch_embed.proj", "norm", "head.projection"]
    others = [f"blocks.{i}.{name}" for i in range(depth) for name in OTHERS]
    return {"cls_token", *others, *(f"{layer}.{part}" for layer in layers for part in ("weight", "bias"))}


def as_slowfast(theirs: Tensors) -> Tensors:
    """torchvision's tensors by SlowFast's names."""
    renamed = {}
    for name, tensor in theirs.items():
        for pattern, new in TO_SLOWFAST:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor[None, None] if name == "cls_token" else tensor
    return renamed


def as_mmaction2(slowfast: Tensors) -> Tensors:
    """SlowFast's tensors by the names of mmaction2's Recognizer3D, whose last norm is that of stage 3."""
    names = {"patch_embed.proj.": "patch_embed.projection.", "norm.": "norm3."}
    renamed = {}
    for name, tensor in slowfast.items():
        for old, new in names.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        head = name.startswith("head.projection.")
        renamed[f"cls_head.fc_cls.{name[16:]}" if head else f"backbone.{name}"] = tensor
    return renamed


def as_images(slowfast: Tensors) -> Tensors:
    """As if the model were one of images: kernels without t, no CLS and no positions in time."""
    kept = {n: t for n, t in slowfast.items() if n != "cls_token" and not n.endswith("rel_pos_t")}
    return {n: t[:, :, t.shape[2] // 2] if t.ndim == 5 else t for n, t in kept.items()}


def as_timm(slowfast: Tensors, starts: tuple[int, ...]) -> Tensors:
    """By timm's names, whose blocks are counted anew from each of the stages' starts."""
    renamed = {}
    for name, tensor in slowfast.items():
        if match := re.match(r"blocks\.(\d+)\.(proj\.)?", name):
            stage = sum(int(match[1]) >= start for start in starts) - 1
            skip = "shortcut_proj_attn." if match[2] else ""
            name = f"stages.{stage}.blocks.{int(match[1]) - starts[stage]}.{skip}{name[match.end() :]}"
        renamed[name.replace("head.projection.", "head.fc.")] = tensor
    return renamed
