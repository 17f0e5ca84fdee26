"""timesformer against transformers' TimeSformer, its published size, how prompts travel, and what it refuses."""

import re

import pytest
import torch
from drawn import drawn
from einops import rearrange
from torch.nn import functional as F
from transformers import TimesformerConfig, TimesformerModel

from taskprompt.backbones.timesformer import Timesformer
from taskprompt.core.errors import LayoutError, SpecError
from taskprompt.core.source import ClipSpec
from taskprompt.nn.vit import SIZES

# transformers' name of a weight -> ours, as anchored patterns.
NAMES = [
    (r"^embeddings\.patch_embeddings\.projection\.", "stem."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.temporal_layernorm\.", ".time_norm."),
    (r"\.temporal_attention\.attention\.", ".time_attn."),
    (r"\.temporal_attention\.output\.dense\.", ".time_attn.proj."),
    (r"\.temporal_dense\.", ".time_fc."),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.up."),
    (r"\.output\.dense\.", ".mlp.down."),
    (r"^layernorm\.", "norm."),
]


def ours(weights: dict, clip: ClipSpec) -> dict:
    """A state dict of theirs under our names; tables are resized to the clip as they do it, by the nearest place."""
    found = {}
    for name, weight in weights.items():
        for pattern, new in NAMES:
            name = re.sub(pattern, new, name)
        found[name] = weight
    cls, place, time = (found.pop(f"embeddings.{n}") for n in ("cls_token", "position_embeddings", "time_embeddings"))
    side = int((place.shape[1] - 1) ** 0.5)
    place_map = rearrange(place[:, 1:], "1 (h w) d -> 1 d h w", h=side)
    place_map = F.interpolate(place_map, (clip.height // 16, clip.width // 16), mode="nearest")
    time = F.interpolate(time.mT, clip.frames, mode="nearest").mT
    tables = {"cls": cls[0, 0] + place[0, 0], "place": rearrange(place_map, "1 d h w -> h w d"), "time": time[0]}
    return found | tables | {"stem.weight": found["stem.weight"][:, :, None]}


def config(size: str, frames: int, side: int) -> TimesformerConfig:
    """transformers' words for one of our sizes."""
    dim, depth, heads = SIZES[size].dim, SIZES[size].depth, SIZES[size].heads
    return TimesformerConfig(
        image_size=side,
        num_frames=frames,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
    )


def clip_of(frames: int, height: int, width: int) -> ClipSpec:
    return ClipSpec(frames=frames, height=height, width=width, fps=None)


def draw_video(clip: ClipSpec, count: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, clip.frames, clip.height, clip.width, 3, generator=draw)


@pytest.mark.parametrize(
    ("size", "trained", "run"),
    [
        ("tiny", (4, 64), (4, 64)),
        ("tiny", (4, 64), (6, 96)),  # tables for 4 frames of 4 x 4 patches, a clip of 6 frames of 6 x 6
        ("tiny", (8, 96), (3, 32)),
        ("B", (8, 224), (8, 224)),
    ],
)
@torch.no_grad()
def test_equals_transformers(size, trained, run):
    theirs = drawn(TimesformerModel(config(size, *trained)))
    theirs.config.num_frames, theirs.config.image_size = run  # its blocks read them here, its tables are resized
    clip = clip_of(run[0], run[1], run[1])
    encoder = Timesformer(size=size).build(clip).eval()
    encoder.load_state_dict(ours(theirs.state_dict(), clip))  # strict: the names and shapes of all tensors agree
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
    video, guests = draw_video(clip), torch.randn(1, 2, 128)
    features, out = encoder(video, guests)
    turned, back = encoder(video.flip(1), guests)
    torch.testing.assert_close(turned.summary, features.summary, atol=1e-5, rtol=0)
    torch.testing.assert_close(back, out, atol=1e-5, rtol=0)


def test_guests_travel_as_cls_does():
    """A guest that equals CLS where it enters leaves as CLS does."""
    clip = clip_of(4, 32, 48)
    encoder = drawn(Timesformer(size="tiny").build(clip))
    features, out = encoder(draw_video(clip), encoder.cls[None, None])
    torch.testing.assert_close(out[:, 0], features.summary, atol=1e-5, rtol=0)


def test_parameter_counts():
    """121.4 M with a head of the 174 classes of SSv2: ViT-B/16, and for time 5 dim^2 in each of twelve blocks."""
    with torch.device("meta"):
        encoder, theirs = Timesformer().build(clip_of(8, 224, 224)), TimesformerModel(config("B", 8, 224))
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
    with pytest.raises(ValueError, match="expected blocks from 0 to 11, for the backbone has 12"):
        Timesformer(levels=(12,))
    encoder = Timesformer(size="tiny").build(clip_of(4, 32, 32))
    with pytest.raises(LayoutError, match=r"\(4, 32, 32, 3\)"):
        encoder(torch.zeros(1, 8, 32, 32, 3))
