"""timesformer against transformers' TimeSformer, its published size, how prompts travel, and what it refuses."""

import pytest
import torch
from drawn import drawn
from einops import rearrange
from vit_public import clip_of, draw_video, loaded, timesformer

from taskprompt.backbones.timesformer import Timesformer
from taskprompt.core.errors import LayoutError, SpecError


@pytest.mark.parametrize(("size", "frames", "side"), [("tiny", 4, 64), ("tiny", 3, 32), ("B", 8, 224)])
@torch.no_grad()
def test_equals_transformers(size, frames, side):
    clip = clip_of(frames, side, side)
    theirs = timesformer(clip, size=size).timesformer
    encoder, found = loaded(theirs.state_dict(), Timesformer(size=size), clip)
    assert (found.missing, found.unexpected) == ([], [])
    video = draw_video(clip, 1 if size == "B" else 2)
    expected = theirs(video.permute(0, 1, 4, 2, 3)).last_hidden_state
    features, _ = encoder(video)
    assert expected.abs().max() > 2
    assert (features.summary - expected[:, 0]).abs().max() < 1e-5
    patches = rearrange(features.patches, "b t h w d -> b (h w t) d")
    assert (patches - expected[:, 1:]).abs().max() < 1e-5


@torch.no_grad()
def test_frames_that_are_no_squares():
    """Where nothing mixes places, patches of frames of 2 x 3 are those of the left part of frames of 2 x 5."""
    encoder = drawn(Timesformer(size="tiny").build(clip_of(3, 32, 80)))
    part = Timesformer(size="tiny").build(clip_of(3, 32, 48)).eval()
    part.load_state_dict(encoder.state_dict() | {"place": encoder.place[:, :3]})
    for name, weight in (*encoder.named_parameters(), *part.named_parameters()):
        if name.endswith(".attn.proj.weight"):
            weight.zero_()  # leaves the attention over time, at each site by itself
    video = draw_video(clip_of(3, 32, 80))
    wide, narrow = encoder(video)[0].patches, part(video[:, :, :, :48])[0].patches
    assert narrow.std() > 0.5
    assert (wide[:, :, :, :3] - narrow).abs().max() < 1e-5


def test_starts_as_a_model_of_images():
    """Untrained, what attention over time finds has no weight: frames that change places change nothing else."""
    clip = clip_of(4, 32, 32)
    encoder = Timesformer(size="tiny").build(clip).eval()
    video, prompts = draw_video(clip), torch.randn(1, 2, 128)
    features, out = encoder(video, prompts)
    turned, back = encoder(video.flip(1), prompts)
    torch.testing.assert_close(turned.summary, features.summary, atol=1e-5, rtol=0)
    torch.testing.assert_close(back, out, atol=1e-5, rtol=0)


def test_prompts_are_treated_like_cls():
    """A prompt that equals CLS where it enters leaves as CLS does."""
    clip = clip_of(4, 32, 48)
    encoder = drawn(Timesformer(size="tiny").build(clip))
    features, out = encoder(draw_video(clip), encoder.cls[None, None])
    torch.testing.assert_close(out[:, 0], features.summary, atol=1e-5, rtol=0)


def test_parameter_counts():
    """121.4 M with a head of the 174 classes of SSv2: ViT-B/16, and for time 5 dim^2 in each of twelve blocks."""
    with torch.device("meta"):
        clip = clip_of(8, 224, 224)
        encoder, theirs = Timesformer().build(clip), timesformer(clip, size="B").timesformer
    count = sum(p.numel() for p in encoder.parameters())
    vit = 590_592 + 768 + 196 * 768 + 12 * 7_087_872 + 1_536  # stem, CLS, places, blocks, norm
    assert count == vit + 12 * (1_536 + 5 * 768**2 + 5 * 768) + 8 * 768  # norm, qkv, proj and fc; times
    assert count == sum(p.numel() for p in theirs.parameters()) - 768  # CLS has a place of its own there
    assert round((count + 174 * 769) / 1e6, 1) == 121.4


def test_dims():
    dims = Timesformer().dims(clip_of(8, 224, 224))
    assert (dims.grid, dims.dim, dims.widths) == ((8, 14, 14), 768, (768,) * 12)
    assert dims.levels == ((8, 14, 14, 768),) * 3
    assert Timesformer(size="tiny", levels=(0, 3)).dims(clip_of(3, 32, 48)).levels == ((3, 2, 3, 128),) * 2


def test_refuses():
    with pytest.raises(SpecError, match=r"the clip is \(8, 224, 230\).*multiples of the patch \(1, 16, 16\)"):
        Timesformer().dims(clip_of(8, 224, 230))
    with pytest.raises(SpecError, match="expected blocks from 0 to 11, since the backbone has 12"):
        Timesformer(levels=(12,)).dims(clip_of(8, 224, 224))
    encoder = Timesformer(size="tiny").build(clip_of(4, 32, 32))
    with pytest.raises(LayoutError, match=r"\(4, 32, 32, 3\)"):
        encoder(torch.zeros(1, 8, 32, 32, 3))
