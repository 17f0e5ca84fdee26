"""Precision: bf16 where asked, and by itself only where the device has instructions for it."""

import pytest
import torch

from taskprompt.train.loop import autocast, multiplies_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [({"avx2": True, "avx512_f": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_auto_is_bf16_where_the_cpu_multiplies_it(monkeypatch, capabilities, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert multiplies_bf16(CPU) is fast
    product = {}
    for precision in ("auto", "bf16", "fp32"):
        with autocast(CPU, precision):
            product[precision] = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert product["bf16"] == torch.bfloat16
    assert product["fp32"] == torch.float32
    assert product["auto"] == (torch.bfloat16 if fast else torch.float32)


def test_this_cpu_says_what_it_can():
    assert {"architecture", "num_logical_cores"} <= set(torch.cpu.get_capabilities())
