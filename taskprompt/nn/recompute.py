"""Linear layers after a norm or a GELU that save only their input for the backward pass and recompute the rest.

A transformer block saves about twenty tensors of the size of its tokens. Six of them follow by an elementwise operation
from one that is saved anyway: the outputs of the two norms, and of GELU, which is four times as wide."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def norm_linear(norm: nn.LayerNorm | None, linear: nn.Linear, x: Tensor) -> Tensor:
    """... c -> ... d: linear(norm(x)), saving only x; without a norm, linear(x)."""
    if norm is None:
        return linear(x)
    return _NormLinear.apply(x, norm.weight, norm.bias, linear.weight, linear.bias, norm.eps, product_type(x))


def gelu_linear(linear: nn.Linear, x: Tensor) -> Tensor:
    """... c -> ... d: linear(gelu(x)), saving only x."""
    return _GeluLinear.apply(x.to(product_type(x)), linear.weight, linear.bias)


def product_type(x: Tensor) -> torch.dtype:
    """The data type of x in a matrix product: autocast's, or its own."""
    device = x.device.type
    cast = device != "meta" and torch.is_autocast_enabled(device)  # the meta device has no autocast
    return torch.get_autocast_dtype(device) if cast else x.dtype


def layer_norm(x: Tensor, gain: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """... c, c, c -> ... c, and mean and inverse std per row, in the type of x. Autocast on a GPU would give float32,
    which the next layer converts to bf16 again. Sums are always float32."""
    if x.device.type != "cuda":
        return torch.native_layer_norm(x, x.shape[-1:], gain, shift, eps)
    with torch.autocast("cuda", enabled=False):
        return torch.native_layer_norm(x, x.shape[-1:], gain.to(x.dtype), shift.to(x.dtype), eps)


class _NormLinear(Function):
    @staticmethod
    def forward(ctx: Any, x, gain, shift, weight, bias, eps, kind):
        n, mean, rstd = layer_norm(x, gain, shift, eps)
        ctx.save_for_backward(x, mean, rstd, gain, shift, weight)
        ctx.eps, ctx.kind = eps, kind
        return F.linear(n.to(kind), weight.to(kind), bias.to(kind))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        x, mean, rstd, gain, shift, weight = ctx.saved_tensors
        n = None
        if ctx.needs_input_grad[3]:
            n = layer_norm(x, gain, shift, ctx.eps)[0].to(ctx.kind)
        dn, dw, db = _linear_backward(dy, n, weight, ctx.needs_input_grad[4])
        alike = (p.to(x.dtype) if x.device.type == "cuda" else p for p in (gain, shift))
        dx, *of_norm = torch.ops.aten.native_layer_norm_backward(
            dn.to(x.dtype), x, x.shape[-1:], mean, rstd, *alike, ctx.needs_input_grad[:3]
        )
        dgain, dshift = (d if d is None else d.to(gain.dtype) for d in of_norm)
        return dx, dgain, dshift, dw, db, None, None


class _GeluLinear(Function):
    @staticmethod
    def forward(ctx: Any, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x), weight.to(x.dtype), bias.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        x, weight = ctx.saved_tensors
        g = F.gelu(x) if ctx.needs_input_grad[1] else None
        dg, dw, db = _linear_backward(dy, g, weight, ctx.needs_input_grad[2])
        return torch.ops.aten.gelu_backward(dg, x), dw, db


def _linear_backward(
    dy: Tensor, x: Tensor | None, weight: Tensor, bias: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of a linear layer's input; of its weights, if its input is given; of its bias, if requested."""
    rows = dy.flatten(0, -2)
    dw = None if x is None else (rows.mT @ x.flatten(0, -2)).to(weight.dtype)
    return dy @ weight.to(dy.dtype), dw, rows.sum(0).to(weight.dtype) if bias else None
