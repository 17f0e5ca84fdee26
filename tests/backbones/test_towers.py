"""clip and timm: outputs are the towers' own, their checkpoints load, and models that do not fit are refused."""

from typing import Any

import open_clip
import pytest
import timm
import torch
from towers_public import open_clip_folder
from vit_public import clip_of, draw_video, loaded

from taskprompt.backbones.clip import Clip
from taskprompt.backbones.timm import Timm
from taskprompt.core.errors import SpecError

DEIT, VIT, DINO = "deit3_small_patch16_224", "vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(the backbone of an open_clip folder, the model with its own random weights)"""
    folder = tmp_path_factory.mktemp("tower")
    name = open_clip_folder(folder)
    torch.manual_seed(1)
    return Clip(model=name), open_clip.create_model(name, load_weights=False).eval()


@torch.no_grad()
def test_clip_is_the_tower_of_open_clip(small):
    backbone, theirs = small
    clip = clip_of(3, 32, 32)
    encoder, done = loaded(theirs.state_dict(), backbone, clip)
    assert (done.layout.name, done.missing, done.resized) == ("open_clip", [], {})
    assert "visual.proj" in done.unexpected
    video = draw_video(clip, 2)
    features, _ = encoder(video)
    each = torch.stack([theirs.encode_image(video[:, t].movedim(-1, 1)) for t in range(3)], 1)
    assert each.std() > 0.05
    assert (features.summary @ theirs.visual.proj - each.mean(1)).abs().max() < 1e-5
    alone = {n.removeprefix("visual."): t for n, t in theirs.state_dict().items() if n.startswith("visual.")}
    assert loaded(alone, backbone, clip)[1].unexpected == ["proj"]


@torch.no_grad()
def test_clip_at_another_size(small):
    backbone, theirs = small
    encoder, done = loaded(theirs.state_dict(), backbone, clip_of(2, 48, 64))
    assert done.resized == {"place": ((4, 4, 64), (6, 8, 64))}
    assert encoder(draw_video(clip_of(2, 48, 64)))[0].patches.shape == (1, 2, 6, 8, 64)


def test_clip_reads_the_sizes_of_all_towers_with_cls():
    clip, known = clip_of(2, 224, 224), []
    for name in ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-H-14"):
        dims = Clip(model=name).dims(clip)
        known.append((dims.grid, dims.dim, len(dims.widths)))
    assert known == [((2, 7, 7), 768, 12), ((2, 14, 14), 768, 12), ((2, 16, 16), 1024, 24), ((2, 16, 16), 1280, 32)]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("RN50", "not a vision transformer with CLS"),
        ("coca_ViT-B-32", "not a vision transformer with CLS"),
        ("ViT-B-16-SigLIP", "not a vision transformer with CLS"),
        ("ViT-B-17", "open_clip has no model 'ViT-B-17'. Did you mean 'ViT-B-1"),
        ("local-dir:/nowhere", "no open_clip_config.json in '/nowhere'"),
    ],
)
def test_clip_refuses(name, why):
    with pytest.raises(SpecError, match=why):
        Clip(model=name).dims(clip_of(2, 224, 224))


def test_whole_patches_alone(small):
    with pytest.raises(SpecError, match="expected multiples of the patch"):
        small[0].dims(clip_of(2, 36, 32))
    with pytest.raises(SpecError, match="expected multiples of the patch"):
        Timm(model=VIT).dims(clip_of(2, 224, 230))


@pytest.mark.parametrize(("name", "side", "first"), [(DEIT, 32, 1), (VIT, 48, 1), (DINO, 28, 5)])
@torch.no_grad()
def test_timm_is_the_transformer_of_timm(name, side, first):
    clip = clip_of(2, side, side)
    torch.manual_seed(2)
    theirs: Any = timm.create_model(name, pretrained=False, img_size=side, num_classes=7).eval()
    encoder, done = loaded(theirs.state_dict(), Timm(model=name), clip)
    assert (done.layout.name, done.missing, done.unexpected, done.resized) == ("timm", [], [], {})
    assert set(done.head) == {"weight", "bias"}
    video = draw_video(clip, 2)
    features, _ = encoder(video)
    expected = torch.stack([theirs.forward_features(video[:, t].movedim(-1, 1)) for t in range(2)], 1)
    assert expected.std() > 0.5
    assert (features.patches.flatten(2, 3) - expected[:, :, first:]).abs().max() < 1e-5
    assert (features.summary - expected[:, :, 0].mean(1)).abs().max() < 1e-5


@torch.no_grad()
def test_timm_at_another_size():
    theirs = timm.create_model(VIT, pretrained=False, num_classes=0, img_size=64)
    _, done = loaded(theirs.state_dict(), Timm(model=VIT), clip_of(1, 32, 96))
    assert done.resized == {"place": ((4, 4, 192), (2, 6, 192))}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("vit_tiny_patch16_225", "timm has no model 'vit_tiny_patch16_225'. Did you mean 'vit_tiny_patch16_224'"),
        ("resnet18", "not a vision transformer with CLS"),
        ("vit_medium_patch16_gap_240", "not a vision transformer with CLS"),
    ],
)
def test_timm_refuses(name, why):
    with pytest.raises(SpecError, match=why):
        Timm(model=name).dims(clip_of(2, 224, 224))
