"""tiny: sizes, and what it refuses."""

import pytest
import torch

from taskprompt.backbones.tiny import Tiny
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import LayoutError, SpecError


def test_dims():
    dims = Tiny(patch=(2, 8, 16), dim=64, depth=6).dims(ClipSpec(frames=8, height=64, width=96, fps=None))
    assert (dims.grid, dims.dim, dims.widths) == ((4, 8, 6), 64, (64,) * 6)
    assert dims.levels == ((4, 8, 6, 64),) * 3
    assert Tiny(depth=6).level_blocks() == (0, 4, 5)
    assert Tiny(depth=16).level_blocks() == (2, 12, 15)
    assert Tiny(depth=1).level_blocks() == (0, 0, 0)


def test_refuses():
    with pytest.raises(SpecError, match="expected multiples of the patch"):
        Tiny(patch=(2, 8, 8)).dims(ClipSpec(frames=8, height=60, width=64, fps=None))
    with pytest.raises(ValueError, match="expected a multiple of"):
        Tiny(dim=66, heads=4)
    with pytest.raises(ValueError, match="expected three numbers from 1 on"):
        Tiny(patch=(2, 0, 8))
    with pytest.raises(ValueError, match="expected blocks from 0 to 1"):
        Tiny(depth=2, levels=(2,))
    encoder = Tiny(patch=(2, 8, 8), dim=32).build(ClipSpec(frames=4, height=16, width=16, fps=None))
    with pytest.raises(LayoutError, match=r"\(4, 16, 16, 3\)"):
        encoder(torch.zeros(1, 4, 16, 24, 3))


def test_prompts_have_no_position():
    """Two prompts that change places change places in the output, and nothing else moves."""
    encoder = Tiny(patch=(2, 8, 8), dim=32, depth=2).build(ClipSpec(frames=2, height=16, width=16, fps=None)).eval()
    video, prompts = torch.randn(1, 2, 16, 16, 3), torch.randn(1, 2, 32)
    features, out = encoder(video, prompts)
    swapped, back = encoder(video, prompts.flip(1))
    torch.testing.assert_close(back.flip(1), out, atol=1e-5, rtol=0)
    torch.testing.assert_close(swapped.patches, features.patches, atol=1e-5, rtol=0)
