"""Checkpoints of SlowFast, mmaction2, torchvision and timm for mvit: every name is known, and every tensor the same."""

import pytest
import torch
from mvit_public import as_images, as_mmaction2, as_slowfast, as_timm, reference, shown_at, slowfast_names

from taskprompt.backbones._mvit.layouts import LAYOUTS, RULES, TORCHVISION
from taskprompt.backbones.mvit import Mvit
from taskprompt.core.clip import ClipSpec
from taskprompt.weights.match import match

TINY, CLIP = Mvit(size="tiny"), (8, 64, 64)
MAKE = {
    "torchvision": lambda theirs: theirs,
    "slowfast": as_slowfast,
    "mmaction2": lambda theirs: as_mmaction2(as_slowfast(theirs)),
    "timm": lambda theirs: as_timm(as_slowfast(theirs), (0, 1, 3)),
}


def encoder(clip=CLIP):
    return TINY.build(ClipSpec(frames=clip[0], height=clip[1], width=clip[2], fps=None)).eval()


def test_the_names_are_those_of_the_public_code():
    """Of MViTv2-S there are 397 in SlowFast and mmaction2; of the tiny reference as many as its depth has."""
    assert len(slowfast_names(16, (1, 3, 14))) == 397
    found = as_slowfast(reference(CLIP).state_dict())
    assert found.keys() == slowfast_names(5, (1, 3))
    assert {"backbone.norm3.weight", "cls_head.fc_cls.bias"} <= as_mmaction2(found).keys()
    assert sorted(MAKE) == sorted(layout.name for layout in LAYOUTS)


def test_every_name_of_ours_is_reached_once_and_changed_by_one_rule():
    """Also those of S; `attn.proj` keeps its name although `proj` has another."""
    slowfast = next(layout for layout in LAYOUTS if layout.name == "slowfast")
    with torch.device("meta"):
        own = Mvit(size="S").build(ClipSpec()).state_dict()
    ours = [slowfast.ours(n) for n in slowfast_names(16, (1, 3, 14)) if not n.startswith("head.")]
    assert sorted(ours) == sorted(own)
    assert slowfast.ours("blocks.3.attn.proj.weight") == "blocks.3.attn.proj.weight"
    assert slowfast.ours("blocks.3.proj.weight") == "blocks.3.widen.weight"
    assert all(
        pattern.startswith(("(", "cls", "patch", "norm", "pos", "conv", "head")) for pattern in {**RULES, **TORCHVISION}
    )


@pytest.mark.parametrize("name", sorted(MAKE))
def test_output_equals_the_reference(name):
    theirs, ours = reference(CLIP), encoder()
    found = match(MAKE[name](theirs.state_dict()), ours, TINY)
    assert found is not None
    assert (found.layout.name, found.missing, found.unexpected, found.wrong) == (name, [], [], {})
    assert (found.resized, found.inflated) == ({}, {})
    ours.load_state_dict(found.tensors)  # strict: the names and shapes of all tensors agree
    video = torch.randn(2, *CLIP, 3)
    with torch.no_grad():
        expected = theirs(video.permute(0, 4, 1, 2, 3))
        logits = ours(video)[0].summary @ found.head["weight"].T + found.head["bias"]
    assert expected.abs().max() > 1
    assert (logits - expected).abs().max() < 1e-5


@pytest.mark.parametrize("clip", [(6, 48, 80), (12, 96, 64)])
def test_another_clip_resizes_tables_as_the_reference_does_while_it_runs(clip):
    theirs, ours = reference(CLIP), encoder(clip)
    found = match(theirs.state_dict(), ours, TINY)
    assert found is not None
    assert found.resized["blocks.0.attn.positions.t"] == ((7, 48), (clip[0] - 1, 48))
    assert {shapes[0] for shapes in found.resized.values()} == {(7, 48), (15, 48), (31, 48)}
    ours.load_state_dict(found.tensors)
    video = torch.randn(1, *clip, 3)
    with torch.no_grad():
        expected = shown_at(theirs, clip)(video.permute(0, 4, 1, 2, 3))
        logits = ours(video)[0].summary @ found.head["weight"].T + found.head["bias"]
    assert (logits - expected).abs().max() < 1e-5


def test_a_model_of_images_is_inflated_and_lacks_time():
    theirs, ours = as_slowfast(reference(CLIP).state_dict()), encoder()
    found = match(as_images(theirs), ours, TINY)
    assert found is not None
    assert found.missing == ["cls", *(f"blocks.{i}.attn.positions.t" for i in range(5))]
    assert len(found.inflated) == 1 + 3 * 5
    assert found.inflated["stem.weight"] == ((48, 3, 7, 7), (48, 3, 3, 7, 7))
    middle = found.tensors["blocks.2.attn.pool_k.conv.weight"]
    assert middle[:, :, 1].equal(theirs["blocks.2.attn.pool_k.weight"][:, :, 1])
    assert not middle[:, :, ::2].any()
    by_timm = match(as_timm(as_images(theirs), (0, 1, 3)), ours, TINY)
    assert by_timm is not None
    assert by_timm.tensors.keys() == found.tensors.keys()
    assert all(by_timm.tensors[n].equal(found.tensors[n]) for n in found.tensors)
