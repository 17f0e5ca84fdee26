"""Waves by hand, patches against a convolution, and what level_blocks refuses."""

import pytest
import torch
from torch.nn import functional as F

from taskprompt.core.errors import SpecError
from taskprompt.nn.blocks import level_blocks
from taskprompt.nn.sincos import sinusoids
from taskprompt.nn.vit import Patches


def test_sinusoids_by_hand():
    """Place 2, width 4: rates 1 and 1 / 100."""
    assert sinusoids(3, 4)[2].tolist() == pytest.approx([0.909297, -0.416147, 0.019999, 0.999800], abs=1e-6)
    assert sinusoids(3, 4)[0].tolist() == [0, 1, 0, 1]


def test_patches_are_a_convolution():
    torch.manual_seed(0)
    stem, video = Patches((2, 4, 8), 16), torch.randn(2, 4, 12, 16, 3)
    torch.nn.init.normal_(stem.bias)
    expected = F.conv3d(video.movedim(-1, 1), stem.weight, stem.bias, stride=(2, 4, 8)).movedim(1, -1)
    assert expected.shape == (2, 2, 3, 2, 16)
    torch.testing.assert_close(stem(video), expected, atol=1e-5, rtol=1e-5)


def test_level_blocks():
    assert level_blocks(None, 16) == (2, 12, 15)
    assert level_blocks((3, 0), 4) == (3, 0)
    with pytest.raises(SpecError, match="expected blocks from 0 to 3, since the backbone has 4"):
        level_blocks((4,), 4)
