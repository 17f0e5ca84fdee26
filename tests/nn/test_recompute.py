"""Linear layers that keep their input alone: the same numbers and gradients as the plain ones, and less kept."""

import pytest
import torch
from torch import nn

from taskprompt.nn.recompute import gelu_linear, norm_linear


def plain(norm: nn.LayerNorm, up: nn.Linear, down: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return down(nn.functional.gelu(up(norm(x))))


def lean(norm: nn.LayerNorm, up: nn.Linear, down: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return gelu_linear(down, norm_linear(norm, up, x))


@pytest.fixture
def layers():
    torch.manual_seed(0)
    norm = nn.LayerNorm(8, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm, nn.Linear(8, 24), nn.Linear(24, 6)


def results(call, layers, x: torch.Tensor, cast: bool) -> list[torch.Tensor]:
    leaves = [x.clone().requires_grad_(), *(p for layer in layers for p in layer.parameters())]
    with torch.autocast("cpu", torch.bfloat16, enabled=cast):
        out = call(*layers, leaves[0])
    wanted = [p for p in leaves if p.requires_grad]
    return [out, *torch.autograd.grad(out.float().square().sum(), wanted)]


@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize("frozen", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_same_output_and_gradients(layers, cast, frozen):
    for i in frozen:
        layers[i].requires_grad_(False)
    x = torch.randn(3, 5, 8)
    expected, found = results(plain, layers, x, cast), results(lean, layers, x, cast)
    assert len(found) == 2 + 2 * (3 - len(frozen))
    for a, b in zip(expected, found, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(b, a, rtol=1e-5 if not cast else 1e-2, atol=1e-6 if not cast else 1e-2)


def test_what_is_kept(layers):
    """Plain: norm's input and output, GELU's input and output. Lean: the two inputs."""

    def kept(call) -> int:
        sizes: dict[int, int] = {}
        weights = {p.data_ptr() for layer in layers for p in layer.parameters()}

        def note(t: torch.Tensor) -> torch.Tensor:
            if t.data_ptr() not in weights and t.numel() >= 100:  # not a norm's means and deviations
                sizes[t.data_ptr()] = t.numel()
            return t

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            out = call(*layers, torch.randn(20, 8, requires_grad=True))
        assert out.requires_grad
        return sum(sizes.values())

    assert kept(plain) == 20 * (8 + 8 + 24 + 24)
    assert kept(lean) == 20 * (8 + 24)
