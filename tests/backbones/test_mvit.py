"""mvit against torchvision's MViTv2-S, its published sizes, and what it refuses."""

import pytest
import torch
from mvit_public import shown_at
from torchvision.models.video import mvit_v2_s

from taskprompt.backbones._mvit.sizes import SIZES, block_plans
from taskprompt.backbones.mvit import Mvit
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import LayoutError
from taskprompt.weights.match import match

SMALL = Mvit(size="S")


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    theirs = mvit_v2_s().eval()
    encoder = SMALL.build(ClipSpec(frames=16, height=224, width=224, fps=None)).eval()
    found = match(theirs.state_dict(), encoder, SMALL)
    assert found is not None
    assert (found.unexpected, found.resized, [*found.head]) == ([], {}, ["weight", "bias"])
    encoder.load_state_dict(found.tensors)  # strict: the names and shapes of all tensors agree
    return theirs, encoder


def test_equals_torchvision(pair):
    theirs, encoder = pair
    video = torch.randn(1, 16, 224, 224, 3)
    with torch.no_grad():
        expected = theirs(video.permute(0, 4, 1, 2, 3))
        features, _ = encoder(video)
        found = theirs.head(features.summary)
    assert expected.abs().max() > 0.5
    assert (found - expected).abs().max() < 1e-5


def test_another_clip_equals_torchvision(pair):
    """Weights of 16 x 224 x 224 in an encoder of 8 x 160 x 160: torchvision resizes its tables while it runs."""
    theirs, _ = pair
    encoder = SMALL.build(ClipSpec(frames=8, height=160, width=160, fps=None)).eval()
    found = match(theirs.state_dict(), encoder, SMALL)
    assert found is not None
    assert len(found.resized) == 3 * 16
    assert found.resized["blocks.0.attn.positions.h"] == ((111, 96), (79, 96))
    assert found.resized["blocks.15.attn.positions.t"] == ((15, 96), (7, 96))
    encoder.load_state_dict(found.tensors)
    video, size = torch.randn(1, 8, 160, 160, 3), (theirs.pos_encoding.temporal_size, theirs.pos_encoding.spatial_size)
    with torch.no_grad():
        expected = shown_at(theirs, (8, 160, 160))(video.permute(0, 4, 1, 2, 3))
        logits = theirs.head(encoder(video)[0].summary)
    theirs.pos_encoding.temporal_size, theirs.pos_encoding.spatial_size = size
    assert expected.abs().max() > 0.5
    assert (logits - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("size", "clip", "classes", "millions", "digits"),
    [
        ("S", (16, 224, 224), 400, 34.537744, 6),
        ("B", (32, 224, 224), 400, 51.2, 1),
        ("L", (40, 312, 312), 174, 213.1, 1),
    ],
)
def test_parameter_counts(size, clip, classes, millions, digits):
    """As published with a head (SlowFast, projects/mvitv2)."""
    with torch.device("meta"):
        encoder = Mvit(size=size).build(ClipSpec(frames=clip[0], height=clip[1], width=clip[2], fps=None))
    head = encoder.norm.weight.numel() * classes + classes
    assert round((sum(p.numel() for p in encoder.parameters()) + head) / 1e6, digits) == millions


def test_the_heads_of_the_large_size():
    """Two heads of 72 at first; width and heads double together."""
    plans = block_plans(SIZES["L"], (20, 78, 78))
    assert [(p.dim, p.heads) for p in plans if p.stride == 2] == [(288, 4), (576, 8), (1152, 16)]
    assert {p.dim // p.heads for p in plans} == {72}
    assert (plans[0].dim_in, plans[0].heads, plans[-1].grid) == (144, 2, (20, 10, 10))


def test_grids_of_the_paper():
    plans = block_plans(SIZES["S"], (8, 56, 56))
    assert [p.heads for p in plans] == [1, 2, 2, *[4] * 11, 8, 8]
    assert [p.kv_stride for p in plans] == [8, 4, 4, *[2] * 11, 1, 1]
    assert [p.kv_grid[1] for p in plans] == [7, 14, 7, 14, *[7] * 10, 14, 7]
    dims = Mvit(size="S").dims(ClipSpec(frames=16, height=224, width=224, fps=None))
    assert (dims.grid, dims.dim, dims.widths[:3]) == ((8, 7, 7), 768, (96, 96, 192))
    assert dims.levels == ((8, 28, 28, 192), (8, 14, 14, 384), (8, 7, 7, 768))


def test_small_clips_of_the_tiny_size():
    tiny = Mvit(size="tiny")
    assert tiny.dims(ClipSpec(frames=8, height=64, width=64, fps=None)).grid == (4, 4, 4)
    assert tiny.dims(ClipSpec(frames=16, height=112, width=112, fps=None)).grid == (8, 7, 7)
    assert tiny.dims(ClipSpec(frames=5, height=30, width=50, fps=None)).grid == (3, 2, 4)


def test_refuses():
    with pytest.raises(ValueError, match="expected blocks from 0 to 4"):
        Mvit(size="tiny", levels=(5,))
    with pytest.raises(ValueError, match="expected three numbers from 1"):
        Mvit(stride=(0, 4, 4))
    encoder = Mvit(size="tiny").build(ClipSpec(frames=4, height=32, width=32, fps=None))
    with pytest.raises(LayoutError, match=r"\(4, 32, 32, 3\)"):
        encoder(torch.zeros(1, 4, 32, 40, 3))


def test_drop_path_skips_whole_samples_in_training_alone():
    torch.manual_seed(0)
    encoder = Mvit(size="tiny", drop_path=0.5).build(ClipSpec(frames=2, height=16, width=16, fps=None))
    assert [b.drop_path for b in encoder.blocks] == [0, 0.125, 0.25, 0.375, 0.5]
    video = torch.randn(1, 2, 16, 16, 3).expand(8, -1, -1, -1, -1)
    assert (encoder(video)[0].summary - encoder(video)[0].summary).abs().max() > 0
    encoder.eval()
    assert (encoder(video)[0].summary - encoder(video)[0].summary).abs().max() == 0
