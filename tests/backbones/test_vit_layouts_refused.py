"""What vit, timesformer and motionformer do not take: models that share names with theirs, and are others."""

import pytest
import torch
from motionformer_public import PublicMotionformer
from vit_public import as_timesformer, as_timm, as_videomae, clip_of, images, timesformer, videomae

from taskprompt.backbones.motionformer import Motionformer
from taskprompt.backbones.mvit import Mvit
from taskprompt.backbones.timesformer import Timesformer
from taskprompt.backbones.vit import Vit
from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.weights.file import Found
from taskprompt.weights.fit import fitting
from taskprompt.weights.match import match

CLIP = clip_of(4, 64, 64)
OF_IMAGES = Vit(size="tiny", positions="learned", summary="cls")
DIVIDED, ALONG = Timesformer(size="tiny"), Motionformer(size="tiny")

REFUSED = {
    "videomae in mvit": (lambda: as_videomae(videomae(CLIP).state_dict()), Mvit(size="tiny"), "vit, size: tiny"),
    "videomae in timesformer": (lambda: videomae(CLIP).state_dict(), DIVIDED, "vit, size: tiny"),
    "timesformer in vit": (lambda: timesformer(CLIP).state_dict(), OF_IMAGES, "timesformer, size: tiny"),
    "motionformer in vit": (
        lambda: PublicMotionformer(128, 4, 4, frames=2, side=4).state_dict(),
        OF_IMAGES,
        "motionformer, size: tiny",
    ),
    "images in motionformer": (lambda: as_timm(images(64).state_dict()), ALONG, "vit, size: tiny"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_architecture_is_named(case):
    make, spec, fits = REFUSED[case]
    kind = type(spec).__name__.lower()
    words = rf"than \{{kind: {kind}, .*: no layout of {kind} \(taskprompt, .* It fits backbone \{{kind: {fits}\}}\.$"
    with pytest.raises(CheckpointError, match=words):
        fitting(Found(make()), "a.pth", spec, spec.build(CLIP))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blocks.0.ls1.gamma", (128,)),  # DINOv2
        ("reg_token", (1, 4, 128)),
        ("dist_token", (1, 1, 128)),  # DeiT
        ("norm_pre.weight", (128,)),  # CLIP
        ("temp_embed", (1, 4, 128)),  # Motionformer with joint attention
    ],
)
def test_images_with_more_than_ours_are_refused(name, shape):
    tensors = as_timm(images(64).state_dict())
    for spec in (OF_IMAGES, DIVIDED):
        assert match(tensors, spec.build(CLIP), spec) is not None
        assert match(tensors | {name: torch.zeros(shape)}, spec.build(CLIP), spec) is None


def test_a_table_that_is_no_square_is_refused():
    tensors = as_timesformer(timesformer(CLIP).state_dict())
    tensors["model.pos_embed"] = torch.zeros(1, 16, 128)
    with pytest.raises(SpecError, match="its table has 15 positions, expected a square"):
        match(tensors, DIVIDED.build(CLIP), DIVIDED)
