"""Public checkpoints for vit, timesformer and motionformer: every name is known, and the outputs are the same."""

import pytest
import torch
from drawn import drawn
from motionformer_public import PublicMotionformer
from torch import Tensor
from vit_public import (
    as_hub,
    as_timesformer,
    as_timm,
    as_videomae,
    block_names,
    clip_of,
    draw_video,
    images,
    loaded,
    timesformer,
    videomae,
    videomae_pretrained,
)

from taskprompt.backbones.motionformer import Motionformer
from taskprompt.backbones.timesformer import Timesformer
from taskprompt.backbones.vit import Vit
from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Encoder
from taskprompt.weights.match import Match, match

CLIP = clip_of(4, 64, 64)
FINE_TUNED, PRETRAINED = Vit(size="tiny"), Vit(size="tiny", summary="norm_first")
OF_IMAGES = Vit(size="tiny", positions="learned", summary="cls")
DIVIDED, ALONG = Timesformer(size="tiny"), Motionformer(size="tiny")


def logits(encoder: Encoder, done: Match, video: Tensor) -> Tensor:
    return encoder(video)[0].summary @ done.head["weight"].T + done.head["bias"]


def published(clip: ClipSpec = CLIP, seed: int = 0) -> PublicMotionformer:
    return drawn(PublicMotionformer(128, 4, 4, clip.frames // 2, clip.height // 16), seed)


def test_the_names_are_those_of_the_public_code():
    """Of the classes in the code bases: 162 tensors of B in VideoMAE, 249 in TimeSformer, 205 in Motionformer."""
    ends = {f"{layer}.{part}" for layer in ("norm", "head", "patch_embed.proj") for part in ("weight", "bias")}
    tokens = {"cls_token", "pos_embed"}
    with torch.device("meta"):
        mae = as_videomae(videomae(clip_of(16, 224, 224), size="B").state_dict())
        divided = as_timesformer(timesformer(clip_of(8, 224, 224), size="B").state_dict())
        along = PublicMotionformer(768, 12, 12, frames=8, side=14).state_dict()
    expected = block_names("attn.qkv.weight", "attn.q_bias", "attn.v_bias")
    expected |= {n.replace("norm", "fc_norm") for n in ends}
    assert mae.keys() == expected
    assert len(expected) == 162
    expected = block_names("attn.qkv", "temporal_norm1", "temporal_attn.qkv", "temporal_attn.proj", "temporal_fc")
    assert divided.keys() == {f"model.{n}" for n in expected | ends | tokens | {"time_embed"}}
    assert len(divided) == 249
    expected = block_names("attn.qkv", "attn.proj_q", "attn.proj_kv") | ends | tokens | {"temp_embed"}
    expected |= {f"{n}.{part}" for n in ("patch_embed_3d.proj", "pre_logits.fc") for part in ("weight", "bias")}
    assert along.keys() == expected
    assert len(expected) == 205
    small = {n for n in block_names("attn.qkv") if int(n.split(".")[1]) < 4}
    assert as_timm(images(64).state_dict()).keys() == small | ends | tokens


@pytest.mark.parametrize("classes", [400, 174])
@pytest.mark.parametrize("names", [as_videomae, as_hub, dict])
@torch.no_grad()
def test_videomae_as_fine_tuned(names, classes):
    theirs, video = videomae(CLIP, classes), draw_video(CLIP, 2)
    encoder, done = loaded(names(theirs.state_dict()), FINE_TUNED, CLIP)
    assert done.layout.name == ("videomae" if names is as_videomae else "transformers")
    assert (done.missing, done.unexpected, done.resized, done.inflated) == ([], [], {}, {})
    expected = theirs(video.permute(0, 1, 4, 2, 3)).logits
    assert expected.std() > 0.5
    assert (logits(encoder, done, video) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("names", [as_videomae, as_hub, dict])
@torch.no_grad()
def test_videomae_as_pretrained(names):
    """Its decoder is left behind; the mean of the patches' norms is what it is read by."""
    theirs, video = videomae_pretrained(CLIP), draw_video(CLIP)
    encoder, done = loaded(names(theirs.state_dict()), PRETRAINED, CLIP)
    assert (done.missing, done.head) == ([], {})
    assert {n.split(".")[0] for n in done.unexpected} == {"decoder", "encoder_to_decoder", "mask_token"}
    features, _ = encoder(video)
    expected = theirs.videomae(video.permute(0, 1, 4, 2, 3)).last_hidden_state
    assert expected.abs().max() > 2
    assert (features.patches.flatten(1, 3) - expected).abs().max() < 1e-5
    assert (features.summary - expected.mean(1)).abs().max() < 1e-5
    bare = loaded(theirs.videomae.state_dict(), PRETRAINED, CLIP)[1]
    assert (bare.layout.name, bare.missing, bare.unexpected) == ("transformers", [], [])
    assert all(bare.tensors[n].equal(t) for n, t in done.tensors.items())


def test_the_keys_of_videomae_have_no_bias():
    theirs = as_videomae(videomae(CLIP).state_dict())
    bias = loaded(theirs, FINE_TUNED, CLIP)[1].tensors["blocks.2.attn.qkv.bias"]
    assert bias[:128].equal(theirs["blocks.2.attn.q_bias"])
    assert not bias[128:256].any()
    assert bias[256:].equal(theirs["blocks.2.attn.v_bias"])
    del theirs["blocks.2.attn.v_bias"]
    done = loaded(theirs, FINE_TUNED, CLIP)[1]
    assert done.missing == ["blocks.2.attn.qkv.bias"]
    assert "blocks.2.attn.q_bias" in done.unexpected


@torch.no_grad()
def test_waves_are_made_for_any_clip():
    """The weights of one clip are those of all: nothing is resized, and the reference agrees."""
    theirs, clip = videomae(CLIP).state_dict(), clip_of(6, 48, 80)
    other = videomae(clip)
    other.load_state_dict(theirs)
    encoder, done = loaded(as_videomae(theirs), FINE_TUNED, clip)
    assert done.resized == {}
    video = draw_video(clip)
    assert (logits(encoder, done, video) - other(video.permute(0, 1, 4, 2, 3)).logits).abs().max() < 1e-5


@pytest.mark.parametrize("classes", [400, 174])
@pytest.mark.parametrize("names", [as_timesformer, dict])
@torch.no_grad()
def test_timesformer_as_published(names, classes):
    theirs, video = timesformer(CLIP, classes), draw_video(CLIP, 2)
    encoder, done = loaded(names(theirs.state_dict()), DIVIDED, CLIP)
    assert done.layout.name == ("timesformer" if names is as_timesformer else "transformers")
    assert (done.missing, done.unexpected, done.resized, done.inflated) == ([], [], {}, {})
    expected = theirs(video.permute(0, 1, 4, 2, 3)).logits
    assert expected.std() > 0.5
    assert (logits(encoder, done, video) - expected).abs().max() < 1e-5
    bare = loaded(theirs.timesformer.state_dict(), DIVIDED, CLIP)[1]
    assert (bare.missing, bare.unexpected, bare.head) == ([], [], {})
    assert all(bare.tensors[n].equal(t) for n, t in done.tensors.items())


def test_timesformers_tables_are_resized():
    """By hand: rows by the cubic kernel (a = -3/4), times by straight lines, where TimeSformer takes the nearest."""
    theirs = as_timesformer(timesformer(CLIP).state_dict())
    place, time = theirs["model.pos_embed"], theirs["model.time_embed"]
    place[0, 1:] = torch.tensor([0.0, 1, 0, 0]).repeat_interleave(4)[:, None]  # the second row of four
    time[0] = torch.tensor([0.0, 4, 8, 0])[:, None]
    done = loaded(theirs, DIVIDED, clip_of(8, 128, 64))[1]
    assert done.resized == {"place": ((4, 4, 128), (8, 4, 128)), "time": ((4, 128), (8, 128))}
    rows = [-0.10546875, 0.26171875, 0.87890625, 0.87890625, 0.26171875, -0.10546875, -0.03515625, 0]
    torch.testing.assert_close(done.tensors["place"][:, 2, 5], torch.tensor(rows))
    torch.testing.assert_close(done.tensors["time"][:, 0], torch.tensor([0.0, 1, 3, 5, 7, 6, 2, 0]))
    torch.testing.assert_close(done.tensors["cls"], theirs["model.cls_token"][0, 0] + place[0, 0])


@torch.no_grad()
def test_timesformer_from_a_model_of_images():
    """Attention over time is a copy of that over space, and has no weight: a still clip is seen as the image."""
    theirs, image = images(64), torch.randn(2, 64, 64, 3)
    encoder, done = loaded(as_timm(theirs.state_dict()), DIVIDED, CLIP)
    assert done.layout.name == "timm"
    assert done.missing == ["time", *(f"blocks.{i}.time_fc.{part}" for i in range(4) for part in ("weight", "bias"))]
    assert (done.unexpected, done.inflated) == ([], {})
    for ours, copied in (("time_attn.qkv.bias", "attn.qkv.bias"), ("time_norm.weight", "norm1.weight")):
        assert done.tensors[f"blocks.3.{ours}"].equal(done.tensors[f"blocks.3.{copied}"])
    expected = theirs(image.permute(0, 3, 1, 2))
    assert expected.shape == (2, 1000)
    assert (expected[0] - expected[1]).std() > 0.02
    assert (logits(encoder, done, image[:, None].expand(-1, 4, -1, -1, -1)) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("inflate", ["centre", "mean"])
@torch.no_grad()
def test_vit_from_a_model_of_images(inflate):
    """Two frames that are one patch deep are the image."""
    theirs, image, clip = images(64), torch.randn(2, 64, 64, 3), clip_of(2, 64, 64)
    encoder = OF_IMAGES.build(clip).eval()
    done = match(as_timm(theirs.state_dict()), encoder, OF_IMAGES, inflate=inflate)
    assert done is not None
    assert (done.layout.name, done.missing, done.unexpected) == ("timm", [], [])
    assert done.inflated == {"stem.weight": ((128, 3, 16, 16), (128, 3, 2, 16, 16))}
    encoder.load_state_dict(done.tensors)
    video = image[:, None].expand(-1, 2, -1, -1, -1)
    assert (logits(encoder, done, video) - theirs(image.permute(0, 3, 1, 2))).abs().max() < 1e-5


def test_places_of_images_are_those_of_every_frame():
    theirs = as_timm(images(64).state_dict())
    place = loaded(theirs, OF_IMAGES, clip_of(6, 64, 64))[1].tensors["place"]
    assert place.shape == (3, 4, 4, 128)
    assert all(frame.flatten(0, 1).equal(theirs["pos_embed"][0, 1:]) for frame in place)
    larger = loaded(theirs, OF_IMAGES, clip_of(6, 96, 32))[1]
    assert larger.resized == {"place": ((3, 4, 4, 128), (3, 6, 2, 128))}
    waves = loaded(theirs, FINE_TUNED, CLIP)[1]
    assert (waves.missing, waves.unexpected) == ([], ["cls_token", "pos_embed"])


@pytest.mark.parametrize("project_values", [False, True])
@torch.no_grad()
def test_motionformer_as_published(project_values):
    theirs, video = published(), draw_video(CLIP, 2)
    spec = ALONG.model_copy(update={"project_values": project_values})
    encoder, done = loaded(theirs.state_dict(), spec, CLIP)
    assert (done.layout.name, done.missing, done.resized) == ("motionformer", [], {})
    values = [f"attn.frame_v.{part}" for part in ("weight", "bias") if not project_values]
    left = {f"blocks.{i}.{name}" for i in range(4) for name in (*values, "attn.frame_k.bias")}
    assert set(done.unexpected) == left | {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert done.head.keys() == {"weight", "bias", "hidden.fc.weight", "hidden.fc.bias"}
    expected = theirs(video, project_values)
    assert expected.abs().max() > 2
    assert (encoder(video)[0].summary - expected).abs().max() < 1e-5
    assert (expected - theirs(video, not project_values)).abs().max() > 0.1


@torch.no_grad()
def test_motionformers_places_are_resized_as_it_does_while_it_runs():
    """Its table is that of 224 x 224, and is interpolated for the models of 336 x 336."""
    theirs, clip = published(), clip_of(4, 96, 96)
    encoder, done = loaded(theirs.state_dict(), ALONG, clip)
    assert done.resized == {"place": ((4, 4, 128), (6, 6, 128))}
    video = draw_video(clip)
    assert (encoder(video)[0].summary - theirs(video)).abs().max() < 1e-5
    assert loaded(theirs.state_dict(), ALONG, clip_of(12, 64, 64))[1].resized == {"time": ((2, 128), (6, 128))}
