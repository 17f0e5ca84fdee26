"""The GPU's pooling against torch's own, by Triton's interpreter on the CPU, in a process told so from the start."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")
PROGRAM = """
import torch, torch.nn.functional as F
from taskprompt.nn.depthwise import whole
from taskprompt.nn import pool_gpu
from taskprompt.nn.pool_gpu import pool_norm, pool_norm_backward

pool_gpu.ROWS, pool_gpu.STEPS = 8, 2  # many programs, each soon done

def check(b, t, h, w, g, c, stride, offset):
    torch.manual_seed(0)
    qkv = torch.randn(b, offset + t * h * w, 3 * g * c, requires_grad=True)
    weight = torch.randn(c, 1, 3, 3, 3, requires_grad=True)
    gain, shift = torch.randn(2, c).requires_grad_().unbind()
    x = qkv[:, offset:].chunk(3, -1)[1].unflatten(1, (t, h, w))
    found = pool_norm(x, weight, gain, shift, 1e-6, stride)
    plain = whole(x, weight.repeat(g, 1, 1, 1, 1), stride).unflatten(-1, (g, c))
    plain = F.layer_norm(plain, (c,), gain, shift, 1e-6)
    torch.testing.assert_close(found, plain)
    dy, inputs = torch.randn_like(plain), (qkv, weight, gain, shift)
    expected = torch.autograd.grad(plain, inputs, dy)
    for a, e in zip(torch.autograd.grad(found, inputs, dy), expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-4 * float(e.abs().max()))

check(2, 2, 3, 2, 2, 6, 1, 1)
check(1, 2, 5, 3, 1, 8, 2, 3)
check(1, 2, 4, 3, 1, 4, 1, 0)  # more rows than a program takes
x = torch.randn(1, 2, 3, 2, 4, requires_grad=True)
weights = [torch.randn(2, 1, 3, 3, 3, requires_grad=True), *torch.randn(2, 2).requires_grad_().unbind()]
torch.library.opcheck(pool_norm, (x, *weights, 1e-6, 1))
dy = torch.randn(1, 2, 3, 2, 2, 2)
torch.library.opcheck(pool_norm_backward, (dy, x.detach(), *(w.detach() for w in weights[:2]), 1e-6, 1))
expected = torch.autograd.grad(pool_norm(x, *weights, 1e-6, 1), x, dy)
compiled = torch.compile(pool_norm, backend="aot_eager", fullgraph=True)
torch.testing.assert_close(torch.autograd.grad(compiled(x, *weights, 1e-6, 1), x, dy), expected)
print("agreed")
"""


@pytest.mark.slow
def test_it_agrees_and_so_do_gradients():
    environ = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=280)
    assert done.stdout.strip() == "agreed", done.stderr[-2000:]
