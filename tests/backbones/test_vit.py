"""vit against VideoMAE as transformers has it, its published sizes, and what it refuses."""

import pytest
import torch
from drawn import drawn
from transformers import VideoMAEModel
from vit_public import clip_of, draw_video, loaded, videomae, videomae_config

from taskprompt.backbones.vit import Vit
from taskprompt.core.errors import LayoutError, SpecError

SHAPES = [("tiny", (4, 64, 64)), ("tiny", (6, 48, 80)), ("tiny", (2, 16, 32)), ("B", (16, 224, 224))]


@pytest.mark.parametrize(("size", "shape"), SHAPES)
@torch.no_grad()
def test_equals_the_pretrained_model(size, shape):
    clip = clip_of(*shape)
    theirs = drawn(VideoMAEModel(videomae_config(size, clip, mean=False)))
    encoder, found = loaded(theirs.state_dict(), Vit(size=size, summary="norm_first"), clip)
    assert (found.missing, found.unexpected) == ([], [])
    video = draw_video(clip)
    expected = theirs(video.permute(0, 1, 4, 2, 3)).last_hidden_state
    features, _ = encoder(video)
    assert expected.abs().max() > 2
    assert (features.patches.flatten(1, 3) - expected).abs().max() < 1e-5
    assert (features.summary - expected.mean(1)).abs().max() < 1e-5


@pytest.mark.parametrize("shape", [shape for _, shape in SHAPES[:2]])
@torch.no_grad()
def test_equals_the_classifier(shape):
    """As fine-tuned: the patches' mean, then the norm."""
    clip = clip_of(*shape)
    theirs = videomae(clip)
    encoder, _ = loaded(theirs.state_dict(), Vit(size="tiny"), clip)
    theirs.classifier = torch.nn.Identity()
    video = draw_video(clip, 2)
    expected = theirs(video.permute(0, 1, 4, 2, 3)).logits
    assert expected.abs().max() > 2
    assert (encoder(video)[0].summary - expected).abs().max() < 1e-5


@torch.no_grad()
def test_levels_are_what_leaves_the_blocks():
    clip = clip_of(4, 32, 48)
    theirs = drawn(VideoMAEModel(videomae_config("tiny", clip, mean=False)))
    encoder, _ = loaded(theirs.state_dict(), Vit(size="tiny", summary="norm_first", levels=(0, 2)), clip)
    video = draw_video(clip)
    hidden = theirs(video.permute(0, 1, 4, 2, 3), output_hidden_states=True).hidden_states
    levels = encoder(video)[0].levels
    assert [level.shape for level in levels] == [(1, 2, 2, 3, 128)] * 2
    for level, i in zip(levels, (0, 2), strict=True):
        torch.testing.assert_close(level.flatten(1, 3), hidden[i + 1], atol=1e-5, rtol=1e-5)


def test_learned_positions_start_at_the_waves_and_train():
    clip = clip_of(4, 32, 48)
    fixed, learned = (Vit(size="tiny", positions=p).build(clip) for p in ("sincos", "learned"))
    assert "place" not in fixed.state_dict()
    assert learned.state_dict()["place"].shape == (2, 2, 3, 128)
    torch.testing.assert_close(learned.place.detach(), fixed.place)


def test_parameter_counts():
    """86.2 M of B without a head: stem 1,180,416, twelve blocks of 7,087,872, norm 1,536; keys' biases are ours."""
    found = {}
    for size in ("S", "B", "L", "H"):
        with torch.device("meta"):
            encoder = Vit(size=size).build(clip_of(16, 224, 224))
        found[size] = sum(p.numel() for p in encoder.parameters())
    assert found["B"] == 1_180_416 + 12 * 7_087_872 + 1_536
    assert {size: round(n / 1e6) for size, n in found.items()} == {"S": 22, "B": 86, "L": 304, "H": 632}


def test_dims():
    dims = Vit().dims(clip_of(16, 224, 224))
    assert (dims.grid, dims.dim, dims.widths) == ((8, 14, 14), 768, (768,) * 12)
    assert dims.levels == ((8, 14, 14, 768),) * 3
    assert Vit(size="tiny", patch=(1, 8, 4), levels=(3,)).dims(clip_of(3, 16, 16)).levels == ((3, 2, 4, 128),)


def test_refuses():
    with pytest.raises(SpecError, match=r"the clip is \(16, 224, 220\).*multiples of the patch \(2, 16, 16\)"):
        Vit().dims(clip_of(16, 224, 220))
    with pytest.raises(SpecError, match="expected blocks from 0 to 3, since the backbone has 4"):
        Vit(size="tiny", levels=(4,)).dims(clip_of(16, 224, 224))
    with pytest.raises(ValueError, match="greater than 0"):
        Vit(patch=(0, 16, 16))
    with pytest.raises(ValueError, match="Input should be 'mean', 'norm_first' or 'cls'"):
        Vit(summary="first")  # type: ignore[arg-type]
    encoder = Vit(size="tiny").build(clip_of(4, 32, 32))
    with pytest.raises(LayoutError, match=r"\(4, 32, 32, 3\)"):
        encoder(torch.zeros(1, 4, 32, 48, 3))
