"""A compiler takes every backbone whole, in one graph, and nothing that it gives changes."""

import pytest
import torch
from encoders import CASES

from taskprompt.core.model import Backbone
from taskprompt.core.source import ClipSpec
from taskprompt.testing.backbone import seeded_encoder, tensors


def passed(encoder, call, *inputs):
    """Outputs and gradients of one pass."""
    found = tensors(*call(*inputs))
    sum((x * torch.linspace(-1, 1, x.shape[-1])).sum() for x in found.values()).backward()  # type: ignore
    found |= {f"grad {n}": p.grad for n, p in encoder.named_parameters() if p.grad is not None}
    encoder.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("kind", CASES)
def test_one_graph_and_the_same_outputs_and_gradients(kind):
    options, (frames, height, width) = CASES[kind][0]
    backbone = Backbone.model_validate({"kind": kind, **options})
    clip = ClipSpec(frames=frames, height=height, width=width, fps=None)
    dims, encoder = backbone.dims(clip), seeded_encoder(backbone, clip)
    draw = torch.Generator().manual_seed(1)
    video = torch.randn(2, frames, height, width, 3, generator=draw)
    guests = torch.randn(2, 3, dims.widths[0] if dims.widths else dims.dim, generator=draw) if dims.hosts else None
    expected = passed(encoder, encoder, video, guests)
    found = passed(encoder, torch.compile(encoder, backend="aot_eager", fullgraph=True), video, guests)
    assert len(expected) > 10
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
