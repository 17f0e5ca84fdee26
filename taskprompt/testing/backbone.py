"""check_backbone: what every backbone promises, on a clip shape that you give it."""

import json
import pickle

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor

from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone, Encoder
from taskprompt.core.types import Dims, Features

BATCH, PROMPTS = 2, 3


def check_backbone(backbone: Backbone, clip: ClipSpec) -> None:
    """Check a backbone on clips of this shape; a small one, for the encoder runs about twenty times.

    Raises AssertionError with the promise that is broken, or what the backbone itself raises."""
    again = Backbone.model_validate(json.loads(json.dumps(backbone.model_dump(mode="json"))))
    assert again == backbone, f"the spec changes on its way through JSON: {backbone} became {again}"
    pickle.dumps(backbone)  # raises where it cannot be sent to a worker
    dims, encoder = backbone.dims(clip), seeded_encoder(backbone, clip)
    draw = torch.Generator().manual_seed(1)
    video = torch.randn(BATCH, clip.frames, clip.height, clip.width, 3, generator=draw)
    prompts = torch.randn(BATCH, PROMPTS, dims.widths[0] if dims.widths else dims.dim, generator=draw)
    prompts = prompts if dims.accepts_prompts else None
    _check_tables(encoder)
    _check_shapes(encoder, dims, clip, video, prompts)
    _check_repeatable(encoder, video, prompts)
    if prompts is not None:
        _check_attention(encoder, dims, video, prompts)
        _check_renewed(encoder, dims, video)
    _check_gradients(encoder, video, prompts)
    _check_autocast(encoder, video, prompts)


def seeded_encoder(backbone: Backbone, clip: ClipSpec) -> Encoder:
    """The encoder in eval mode, with the same initial weights at every call; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return backbone.build(clip).eval()


def tensors(features: Features, prompts: Tensor | None) -> dict[str, Tensor]:
    """All that an encoder gives, by name."""
    named = {"summary": features.summary, "patches": features.patches}
    named |= {f"levels {i}": level for i, level in enumerate(features.levels)}
    return named if prompts is None else named | {"prompts": prompts}


def _check_tables(encoder: Encoder) -> None:
    """Position tables are named as they are called, and have the axes that they are said to have."""
    own = encoder.state_dict()
    for name, axes in encoder.position_embeddings().items():
        assert name in own, f"tables() names {name!r}, which is no parameter of the encoder"
        known = axes in ("rows", "t", "h w", "t h w") and own[name].ndim > len(axes.split())
        assert known, f"tables() gives {name!r} the axes {axes!r}, expected rows, t, h w or t h w, and d behind them"


@torch.no_grad()
def _check_shapes(encoder: Encoder, dims: Dims, clip: ClipSpec, video: Tensor, prompts: Tensor | None) -> None:
    size = (clip.frames, clip.height, clip.width)
    assert (dims.frames, dims.height, dims.width) == size, f"dims say {dims}, the clip is {size}"
    expected = {"summary": (BATCH, dims.dim), "patches": (BATCH, *dims.grid, dims.dim)}
    expected |= {f"levels {i}": (BATCH, *level) for i, level in enumerate(dims.levels)}
    features, none = encoder(video)
    assert none is None, "without prompts the encoder must give None for them"
    assert not features.prompts, "prompts are for the prompter to fill, not for the encoder"
    found = {name: tuple(x.shape) for name, x in tensors(features, None).items()}
    assert found == expected, f"the shapes are {found}, dims promise {expected}"
    if prompts is None:
        return
    expected["prompts"] = (BATCH, PROMPTS, dims.dim)
    found = {name: tuple(x.shape) for name, x in tensors(*encoder(video, prompts)).items()}
    assert found == expected, f"with prompts the shapes are {found}, expected {expected}"


@torch.no_grad()
def _check_repeatable(encoder: Encoder, video: Tensor, prompts: Tensor | None) -> None:
    both = tensors(*encoder(video, prompts))
    _same(both, tensors(*encoder(video, prompts)), "two runs in eval mode differ", tolerance=0)
    one = tensors(*encoder(video[:1], None if prompts is None else prompts[:1]))
    _same({k: x[:1] for k, x in both.items()}, one, "a sample depends on its batch")
    if prompts is None:
        return
    bare = tensors(*encoder(video))
    empty = tensors(*encoder(video, prompts[:, :0]))
    empty.pop("prompts")
    _same(bare, empty, "no prompts and an empty tensor of prompts differ")


def _check_attention(encoder: Encoder, dims: Dims, video: Tensor, prompts: Tensor) -> None:
    """A prompt reaches the summary, every patch and every prompt; every part of the video reaches every prompt."""
    with torch.no_grad():
        before = tensors(*encoder(video, prompts))
        for i in range(PROMPTS):
            other = prompts.clone()
            other[:, i] = -other[:, i].flip(-1)
            after = tensors(*encoder(video, other))
            for name in ("summary", "patches", "prompts"):
                moved = (after[name] - before[name]).abs().amax(-1)
                assert moved.min() > 0, f"prompt {i} does not reach {int((moved == 0).sum())} tokens of {name}"
    pixels = video.clone().requires_grad_()
    out = tensors(*encoder(pixels, prompts))["prompts"]
    for i in range(PROMPTS):
        # The squares, weighted, since a norm at the end fixes the sum and the sum of squares of a token.
        (slope,) = torch.autograd.grad((out[:, i].square() * _weights(out[:, i])).sum(), pixels, retain_graph=True)
        reach = F.adaptive_avg_pool3d(reduce(slope.abs(), "b t h w c -> b t h w", "sum"), dims.grid)
        assert reach.min() > 0, (
            f"prompt {i} does not see {int((reach == 0).sum())} of {reach.numel()} places of the video"
        )


@torch.no_grad()
def _check_renewed(encoder: Encoder, dims: Dims, video: Tensor) -> None:
    """Where Dims tells the widths of all blocks: each block has prompts of its own, which matter to what comes out."""
    if not dims.widths:
        return
    draw = torch.Generator().manual_seed(3)
    prompts = [torch.randn(BATCH, PROMPTS, width, generator=draw) for width in dims.widths]
    before = tensors(*encoder(video, prompts))
    assert before["prompts"].shape == (BATCH, PROMPTS, dims.dim), (
        f"with prompts a block they are {before['prompts'].shape}"
    )
    for i in range(len(prompts)):
        other = [*prompts[:i], -prompts[i].flip(-1), *prompts[i + 1 :]]
        moved = (tensors(*encoder(video, other))["summary"] - before["summary"]).abs().amax(-1)
        assert moved.min() > 0, f"the prompts of block {i} do not reach the summary"


def _check_gradients(encoder: Encoder, video: Tensor, prompts: Tensor | None) -> None:
    """Backward reaches every parameter, and with checkpointing the gradients are the same."""
    stored = _gradients(encoder, video, prompts)
    encoder.checkpointing = True
    recomputed = _gradients(encoder, video, prompts)
    encoder.checkpointing = False
    _same(stored, recomputed, "with checkpointing the gradients differ")


def _check_autocast(encoder: Encoder, video: Tensor, prompts: Tensor | None) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        gradients = _gradients(encoder, video, prompts)
    assert all(g.isfinite().all() for g in gradients.values()), "gradients are not finite under bf16 autocast"


def _gradients(encoder: Encoder, video: Tensor, prompts: Tensor | None) -> dict[str, Tensor]:
    encoder.zero_grad()
    out = tensors(*encoder(video, prompts))
    assert all(x.isfinite().all() for x in out.values()), "an output is not finite"
    loss = torch.stack([(x.float().square() * _weights(x)).mean() for x in out.values()]).sum()
    loss.backward()
    left = [name for name, p in encoder.named_parameters() if p.grad is None]
    assert not left, f"no gradient reaches {', '.join(left)}"
    return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


def _weights(x: Tensor) -> Tensor:
    return torch.rand(x.shape, generator=torch.Generator().manual_seed(2))


def _same(a: dict[str, Tensor], b: dict[str, Tensor], problem: str, tolerance: float = 1e-4) -> None:
    assert a.keys() == b.keys(), f"{problem}: {sorted(a)} against {sorted(b)}"
    for name in a:
        gap = _gap(a[name], b[name])
        assert gap <= tolerance, f"{problem}: {name} by {gap:.2g} of its largest value"


def _gap(a: Tensor, b: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    if a.numel() == 0:
        return 0.0
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-12))
