"""A depthwise 3D convolution and the norm after it, as Triton kernels, since they are limited by memory bandwidth.

One pass reads, convolves and normalises, and saves nothing in between: the backward pass convolves again. Rows are
(b t h w g): every head at every position has c channels. Sums are float32, whatever the tensors' type."""

# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
# (Triton's kernel calls are not understood by the type checker.)

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 32  # rows per program
STEPS = 16  # consecutive blocks of rows per program, to sum up gradients of weights


# Custom torch operators, so that torch.compile treats each as opaque.
@torch.library.custom_op("taskprompt::pool_norm", mutates_args=())
def pool_norm(x: Tensor, weight: Tensor, gain: Tensor, shift: Tensor, eps: float, stride: int) -> Tensor:
    """b t h w (g c), c 1 3 3 3, c, c -> b t h' w' g c: `depthwise` and layer norm per head."""
    shape = Shape(x, weight, stride)
    y = x.new_empty(shape.out)
    _forward[(triton.cdiv(shape.rows, ROWS),)](
        shape.x, shape.taps, gain, shift, y, *shape.sizes, eps, S=stride, R=ROWS, WIDE=shape.wide
    )
    return y


@pool_norm.register_fake
def _(x, weight, gain, shift, eps, stride):
    return x.new_empty(outputs(x, weight, stride))


@torch.library.custom_op("taskprompt::pool_norm_backward", mutates_args=())
def pool_norm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, gain: Tensor, eps: float, stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, gain and shift."""
    shape = Shape(x, weight, stride)
    chunks = triton.cdiv(shape.rows, ROWS * STEPS)
    fixed = {"S": stride, "R": ROWS, "WIDE": shape.wide}
    dz = x.new_empty(shape.out)
    of_norm = gain.new_empty(2, chunks, len(gain), dtype=torch.float32)
    _norm_backward[(chunks,)](
        shape.x,
        shape.taps,
        gain,
        dy.contiguous(),
        dz,
        of_norm,
        *shape.sizes,
        eps,
        chunks,
        N=STEPS,
        num_warps=8,
        **fixed,
    )
    dx = x.new_empty(x.shape)
    _input_backward[(triton.cdiv(dx.numel() // len(gain), ROWS),)](dz, shape.taps, dx, *shape.sizes, **fixed)
    of_taps = gain.new_empty(chunks, 27, len(gain), dtype=torch.float32)
    _taps_backward[(chunks, 9)](shape.x, dz, of_taps, *shape.sizes, N=STEPS, num_warps=8, **fixed)
    dweight = of_taps.sum(0).T.reshape(weight.shape).to(weight.dtype).contiguous()
    dgain, dshift = of_norm.sum(1).to(gain.dtype).unbind()
    return dx, dweight, dgain.clone(), dshift.clone()  # outputs of an operator must not be views


@pool_norm_backward.register_fake
def _(dy, x, weight, gain, eps, stride):
    return x.new_empty(x.shape), weight.new_empty(weight.shape), gain.new_empty(gain.shape), gain.new_empty(gain.shape)


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, weight, gain, _, ctx.eps, ctx.stride = inputs
    ctx.save_for_backward(x, weight, gain)


def _backward(ctx: Any, dy: Tensor):
    return *pool_norm_backward(dy, *ctx.saved_tensors, ctx.eps, ctx.stride), None, None


pool_norm.register_autograd(_backward, setup_context=_setup)


def outputs(x: Tensor, weight: Tensor, stride: int) -> tuple[int, ...]:
    """b t h' w' g c."""
    b, t, h, w, d = x.shape
    return b, t, -(-h // stride), -(-w // stride), d // len(weight), len(weight)


class Shape:
    """Arguments of the kernels: the input, its sizes and strides, rows of the output, weights per tap."""

    def __init__(self, x: Tensor, weight: Tensor, stride: int):
        _, t, h, w, _ = x.shape
        step = x.stride(3)
        # A slice of contiguous tokens' channels, as from `chunk` of qkv, is read in place.
        self.x = x if x.stride()[1:] == (h * w * step, w * step, step, 1) else x.contiguous()
        self.out = b, _, high, broad, g, c = outputs(x, weight, stride)
        self.rows = b * t * high * broad * g
        self.sizes = (b, t, h, w, high, broad, g, c, self.x.stride(0), self.x.stride(3))
        self.taps = weight.reshape(c, 27).T.contiguous()
        self.wide = triton.next_power_of_2(c)


@triton.jit
def _place(row, T, H, W, G):
    """Row -> b, t, h, w, g."""
    g, row = row % G, row // G
    w, row = row % W, row // W
    h, row = row % H, row // H
    return (row // T).to(tl.int64), row % T, h, w, g


@triton.jit
def _read(x, row, inside, kt, kh, kw, T, H, W, OH, OW, G, C, first, step, S: tl.constexpr, WIDE: tl.constexpr):
    """rows c, float32: the input at a tap of the kernel for these outputs."""
    c = tl.arange(0, WIDE)
    b, t, h, w, g = _place(row, T, OH, OW, G)
    t, h, w = t + kt - 1, h * S + kh - 1, w * S + kw - 1
    ok = inside & (t >= 0) & (t < T) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
    at = b * first + ((t * H + h) * W + w) * step + g * C
    return tl.load(x + at[:, None] + c[None, :], mask=ok[:, None] & (c < C)[None, :], other=0.0).to(tl.float32)


@triton.jit
def _standard(
    x, taps, row, inside, T, H, W, OH, OW, G, C, first, step, eps, S: tl.constexpr, R: tl.constexpr, WIDE: tl.constexpr
):
    """rows c: the normalised convolution at these outputs; rows: the inverse std."""
    c = tl.arange(0, WIDE)
    z = tl.zeros((R, WIDE), tl.float32)
    for tap in range(27):
        seen = _read(x, row, inside, tap // 9, tap // 3 % 3, tap % 3, T, H, W, OH, OW, G, C, first, step, S, WIDE)
        z += seen * tl.load(taps + tap * C + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    z = tl.where((c < C)[None, :], z - (tl.sum(z, 1) / C)[:, None], 0.0)
    rstd = 1 / tl.sqrt(tl.sum(z * z, 1) / C + eps)
    return z * rstd[:, None], rstd


@triton.jit
def _forward(
    x, taps, gain, shift, y, B, T, H, W, OH, OW, G, C, first, step, eps,
    S: tl.constexpr, R: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, WIDE)
    row = tl.program_id(0) * R + tl.arange(0, R)
    inside = row < B * T * OH * OW * G
    z, _ = _standard(x, taps, row, inside, T, H, W, OH, OW, G, C, first, step, eps, S, R, WIDE)
    a = tl.load(gain + c, mask=c < C, other=0.0).to(tl.float32)
    b = tl.load(shift + c, mask=c < C, other=0.0).to(tl.float32)
    at = row.to(tl.int64)[:, None] * C + c[None, :]
    tl.store(y + at, z * a[None, :] + b[None, :], mask=inside[:, None] & (c < C)[None, :])


@triton.jit
def _norm_backward(
    x, taps, gain, dy, dz, sums, B, T, H, W, OH, OW, G, C, first, step, eps, chunks,
    N: tl.constexpr, S: tl.constexpr, R: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, WIDE)
    a = tl.load(gain + c, mask=c < C, other=0.0).to(tl.float32)
    dgain, dshift = tl.zeros((R, WIDE), tl.float32), tl.zeros((R, WIDE), tl.float32)  # summed over rows at the end
    for i in range(N):
        row = (tl.program_id(0) * N + i) * R + tl.arange(0, R)
        inside = row < B * T * OH * OW * G
        z, rstd = _standard(x, taps, row, inside, T, H, W, OH, OW, G, C, first, step, eps, S, R, WIDE)
        at, kept = row.to(tl.int64)[:, None] * C + c[None, :], inside[:, None] & (c < C)[None, :]
        d = tl.load(dy + at, mask=kept, other=0.0).to(tl.float32)
        dgain += d * z
        dshift += d
        d = d * a[None, :]
        d = d - (tl.sum(d, 1) / C)[:, None] - z * (tl.sum(d * z, 1) / C)[:, None]
        tl.store(dz + at, d * rstd[:, None], mask=kept)
    at = tl.program_id(0) * C + c
    tl.store(sums + at, tl.sum(dgain, 0), mask=c < C)
    tl.store(sums + chunks * C + at, tl.sum(dshift, 0), mask=c < C)


@triton.jit
def _input_backward(
    dz, taps, dx, B, T, H, W, OH, OW, G, C, first, step,
    S: tl.constexpr, R: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, WIDE)
    row = tl.program_id(0) * R + tl.arange(0, R)
    inside = row < B * T * H * W * G
    b, t, h, w, g = _place(row, T, H, W, G)
    sums = tl.zeros((R, WIDE), tl.float32)
    for tap in range(27):
        ot, oh, ow = t + 1 - tap // 9, h + 1 - tap // 3 % 3, w + 1 - tap % 3
        ok = inside & (ot >= 0) & (ot < T) & (oh >= 0) & (oh % S == 0) & (ow >= 0) & (ow % S == 0)
        ok = ok & (oh // S < OH) & (ow // S < OW)
        at = ((((b * T + ot) * OH + oh // S) * OW + ow // S) * G + g) * C
        d = tl.load(dz + at[:, None] + c[None, :], mask=ok[:, None] & (c < C)[None, :], other=0.0).to(tl.float32)
        sums += d * tl.load(taps + tap * C + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    at = row.to(tl.int64)[:, None] * C + c[None, :]
    tl.store(dx + at, sums, mask=inside[:, None] & (c < C)[None, :])


@triton.jit
def _taps_backward(
    x, dz, sums, B, T, H, W, OH, OW, G, C, first, step,
    N: tl.constexpr, S: tl.constexpr, R: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, WIDE)
    kt, kh = tl.program_id(1) // 3, tl.program_id(1) % 3
    left = tl.zeros((R, WIDE), tl.float32)
    middle, right = left, left
    for i in range(N):
        row = (tl.program_id(0) * N + i) * R + tl.arange(0, R)
        inside = row < B * T * OH * OW * G
        at = row.to(tl.int64)[:, None] * C + c[None, :]
        d = tl.load(dz + at, mask=inside[:, None] & (c < C)[None, :], other=0.0).to(tl.float32)
        left += d * _read(x, row, inside, kt, kh, 0, T, H, W, OH, OW, G, C, first, step, S, WIDE)
        middle += d * _read(x, row, inside, kt, kh, 1, T, H, W, OH, OW, G, C, first, step, S, WIDE)
        right += d * _read(x, row, inside, kt, kh, 2, T, H, W, OH, OW, G, C, first, step, S, WIDE)
    at = (tl.program_id(0) * 27 + tl.program_id(1) * 3) * C + c
    tl.store(sums + at, tl.sum(left, 0), mask=c < C)
    tl.store(sums + at + C, tl.sum(middle, 0), mask=c < C)
    tl.store(sums + at + 2 * C, tl.sum(right, 0), mask=c < C)
