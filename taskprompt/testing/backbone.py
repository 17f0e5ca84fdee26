"""check_backbone: the requirements of backbones, on a given clip shape."""

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
    """Check a backbone on clips of this shape; use a small one, since the encoder runs about twenty times.

    Raises AssertionError with the violated requirement, or the backbone's own error."""
    again = Backbone.model_validate(json.loads(json.dumps(backbone.model_dump(mode="json"))))
    assert again == backbone, f"the spec changes in a round trip through JSON: {backbone} became {again}"
    pickle.dumps(backbone)  # raises if it cannot be sent to a worker
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
        _check_prompts_by_block(encoder, dims, video)
    _check_gradients(encoder, video, prompts)
    _check_autocast(encoder, video, prompts)


def seeded_encoder(backbone: Backbone, clip: ClipSpec) -> Encoder:
    """The encoder in eval mode, with the same initial weights at every call; the global generator is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return backbone.build(clip).eval()


def tensors(features: Features, prompts: Tensor | None) -> dict[str, Tensor]:
    """All outputs of an encoder, by name."""
    named = {"summary": features.summary, "patches": features.patches}
    named |= {f"levels {i}": level for i, level in enumerate(features.levels)}
    return named if prompts is None else named | {"prompts": prompts}


def _check_tables(encoder: Encoder) -> None:
    """`position_embeddings` names existing parameters with the given axes."""
    own = encoder.state_dict()
    for name, axes in encoder.position_embeddings().items():
        assert name in own, f"position_embeddings() names {name!r}, which is not a parameter of the encoder"
        known = axes in ("rows", "t", "h w", "t h w") and own[name].ndim > len(axes.split())
        assert known, f"position_embeddings() gives {name!r} the axes {axes!r}, expected rows, t, h w or t h w, then d"


@torch.no_grad()
def _check_shapes(encoder: Encoder, dims: Dims, clip: ClipSpec, video: Tensor, prompts: Tensor | None) -> None:
    size = (clip.frames, clip.height, clip.width)
    assert (dims.frames, dims.height, dims.width) == size, f"dims say {dims}, the clip is {size}"
    expected = {"summary": (BATCH, dims.dim), "patches": (BATCH, *dims.grid, dims.dim)}
    expected |= {f"levels {i}": (BATCH, *level) for i, level in enumerate(dims.levels)}
    features, none = encoder(video)
    assert none is None, "without prompts the encoder must return None for them"
    assert not features.prompts, "features.prompts must be filled by the prompter, not by the encoder"
    found = {name: tuple(x.shape) for name, x in tensors(features, None).items()}
    assert found == expected, f"the shapes are {found}, expected {expected} from dims"
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
    """A prompt affects the summary, every patch and every prompt; every part of the video affects every prompt."""
    with torch.no_grad():
        before = tensors(*encoder(video, prompts))
        for i in range(PROMPTS):
            other = prompts.clone()
            other[:, i] = -other[:, i].flip(-1)
            after = tensors(*encoder(video, other))
            for name in ("summary", "patches", "prompts"):
                moved = (after[name] - before[name]).abs().amax(-1)
                assert moved.min() > 0, f"prompt {i} does not affect {int((moved == 0).sum())} tokens of {name}"
    pixels = video.clone().requires_grad_()
    out = tensors(*encoder(pixels, prompts))["prompts"]
    for i in range(PROMPTS):
        # Weighted squares, since a final norm fixes the sum and the sum of squares of a token.
        (slope,) = torch.autograd.grad((out[:, i].square() * _weights(out[:, i])).sum(), pixels, retain_graph=True)
        reach = F.adaptive_avg_pool3d(reduce(slope.abs(), "b t h w c -> b t h w", "sum"), dims.grid)
        assert reach.min() > 0, (
            f"prompt {i} does not depend on {int((reach == 0).sum())} of {reach.numel()} positions of the video"
        )


@torch.no_grad()
def _check_prompts_by_block(encoder: Encoder, dims: Dims, video: Tensor) -> None:
    """If Dims has the widths of all blocks, separate prompts of each block must affect the output."""
    if not dims.widths:
        return
    draw = torch.Generator().manual_seed(3)
    prompts = [torch.randn(BATCH, PROMPTS, width, generator=draw) for width in dims.widths]
    before = tensors(*encoder(video, prompts))
    assert before["prompts"].shape == (BATCH, PROMPTS, dims.dim), (
        f"with prompts per block they are {before['prompts'].shape}"
    )
    for i in range(len(prompts)):
        other = [*prompts[:i], -prompts[i].flip(-1), *prompts[i + 1 :]]
        moved = (tensors(*encoder(video, other))["summary"] - before["summary"]).abs().amax(-1)
        assert moved.min() > 0, f"the prompts of block {i} do not affect the summary"


def _check_gradients(encoder: Encoder, video: Tensor, prompts: Tensor | None) -> None:
    """Gradients reach every parameter, and are the same with checkpointing."""
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
