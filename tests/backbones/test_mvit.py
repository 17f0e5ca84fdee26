"""mvit against torchvision's MViTv2-S, its published sizes, and what it refuses."""

import re

import pytest
import torch
from torchvision.models.video import mvit_v2_s

from taskprompt.backbones._mvit.sizes import SIZES, block_plans
from taskprompt.backbones.mvit import Mvit
from taskprompt.core.errors import LayoutError
from taskprompt.core.source import ClipSpec

# torchvision's name of a weight -> ours, as anchored patterns.
NAMES = [
    (r"^pos_encoding\.class_token$", "cls"),
    (r"^conv_proj\.", "stem."),
    (r"^(blocks\.\d+)\.project\.", r"\1.widen."),
    (r"\.attn\.project\.0\.", ".attn.proj."),
    (r"\.pool_([qkv])\.pool\.", r".pool_\1.conv."),
    (r"\.norm_act\.0\.", ".norm."),
    (r"\.rel_pos_([thw])$", r".positions.\1"),
    (r"\.mlp\.0\.", ".mlp.up."),
    (r"\.mlp\.3\.", ".mlp.down."),
]


def ours(name: str) -> str:
    for pattern, new in NAMES:
        name = re.sub(pattern, new, name)
    return name


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    theirs = mvit_v2_s().eval()
    encoder = Mvit(size="S").build(ClipSpec(frames=16, height=224, width=224, fps=None)).eval()
    weights = {ours(k): v for k, v in theirs.state_dict().items() if not k.startswith("head.")}
    encoder.load_state_dict(weights)  # strict: the names and shapes of all tensors agree
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


def test_parameter_counts(pair):
    """34,537,744 and 51.2 M with a head of 400 classes (MViTv2, table 4)."""
    head = 768 * 400 + 400
    assert sum(p.numel() for p in pair[1].parameters()) + head == 34_537_744
    with torch.device("meta"):
        large = Mvit(size="B").build(ClipSpec(frames=32, height=224, width=224, fps=None))
    assert round((sum(p.numel() for p in large.parameters()) + head) / 1e6, 1) == 51.2


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
