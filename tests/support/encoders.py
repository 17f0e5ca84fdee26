"""Small specs of every backbone, and what they give."""

import torch

from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone
from taskprompt.testing.backbone import seeded_encoder, tensors

CPU = torch.device("cpu")

# A small spec of every kind and clips it must take; odd sizes where the kind promises any.
CASES = {
    "clip": [({"model": "ViT-S-32-alt"}, (2, 32, 64)), ({"model": "ViT-S-16-alt", "levels": (3,)}, (1, 32, 16))],
    "hf": [
        (
            {"config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}},
            (4, 32, 32),
        )
    ],
    "motionformer": [
        ({"size": "tiny"}, (4, 32, 48)),
        ({"size": "tiny", "project_values": True, "patch": (1, 8, 16), "levels": (3, 1)}, (3, 16, 32)),
    ],
    "mvit": [({"size": "tiny"}, (8, 32, 32)), ({"size": "tiny", "stride": (1, 4, 4), "levels": (0, 4)}, (3, 36, 52))],
    "tiny": [
        ({"patch": (2, 8, 8), "dim": 32, "depth": 2}, (4, 16, 24)),
        ({"patch": (1, 16, 8), "dim": 32, "levels": ()}, (2, 32, 16)),
    ],
    "timm": [({"model": "vit_tiny_patch16_224"}, (2, 32, 16))],
    "timesformer": [
        ({"size": "tiny"}, (3, 32, 48)),
        ({"size": "tiny", "patch": (2, 8, 16), "levels": ()}, (2, 16, 16)),
    ],
    "uniformerv2": [
        ({"size": "tiny"}, (2, 16, 24)),
        ({"size": "tiny", "local": True, "levels": (1,), "reads": (0, 3)}, (4, 16, 16)),
    ],
    "vit": [
        ({"size": "tiny"}, (4, 32, 48)),
        ({"size": "tiny", "summary": "norm_first", "positions": "learned", "patch": (1, 8, 16)}, (3, 16, 32)),
        ({"size": "tiny", "summary": "cls", "levels": (2,)}, (2, 32, 16)),
    ],
}


def small(kind: str):
    """The first case of a kind: encoder, video, prompts."""
    options, (frames, height, width) = CASES[kind][0]
    backbone = Backbone.model_validate({"kind": kind, **options})
    clip = ClipSpec(frames=frames, height=height, width=width, fps=None)
    dims, draw = backbone.dims(clip), torch.Generator().manual_seed(1)
    video = torch.randn(4, frames, height, width, 3, generator=draw)
    prompts = torch.randn(4, 3, dims.widths[0] if dims.widths else dims.dim, generator=draw)
    return seeded_encoder(backbone, clip), video, prompts if dims.accepts_prompts else None


def passed(encoder, video, prompts, device: torch.device = CPU, bf16: bool = False):
    """Outputs and gradients of one pass on a device, as float32 on the CPU."""
    encoder = encoder.to(device).requires_grad_()
    prompts = None if prompts is None else prompts.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        found = tensors(*encoder(video.to(device), prompts))
    sum((x.float() * torch.linspace(-1, 1, x.shape[-1], device=device)).sum() for x in found.values()).backward()  # type: ignore
    found |= {f"grad {n}": p.grad for n, p in encoder.named_parameters() if p.grad is not None}
    encoder.zero_grad(set_to_none=True)
    return {name: x.detach().float().cpu() for name, x in found.items()}
