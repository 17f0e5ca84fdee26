"""Precision: bf16 where asked, and by itself only where the device has instructions for it."""

from pathlib import Path

import pytest
import torch

from taskprompt.nn.precision import autocast

INFO = Path("/proc/cpuinfo")


def kind_of_product(precision: str) -> torch.dtype:
    with autocast(torch.device("cpu"), precision):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_what_is_asked_is_done():
    assert kind_of_product("bf16") == torch.bfloat16
    assert kind_of_product("fp32") == torch.float32


@pytest.mark.skipif(not INFO.exists(), reason="the kernel's list of instructions is Linux's")
def test_auto_is_bf16_where_the_kernel_lists_its_instructions():
    words = set(INFO.read_text().split())
    fast = bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    assert kind_of_product("auto") == (torch.bfloat16 if fast else torch.float32)
