"""The precision in which a model runs on a device."""

from contextlib import nullcontext

import torch


def autocast(device: torch.device, precision: str):
    """bf16 if requested, or if 'auto' and the device supports it in hardware; weights and losses stay float32."""
    wanted = precision == "bf16" or (precision == "auto" and multiplies_bf16(device))
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16 products; a CPU without them is about ten times slower in bf16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16") or has.get("bf16"))
