"""uniformerv2: its sizes, the public code's names and outputs, CLIP's tower inside, and what it starts as."""

import open_clip
import pytest
import torch
import torch.nn.functional as F
from drawn import drawn
from towers_public import open_clip_folder
from uniformer_public import PublicUniformerV2, as_mmaction2
from vit_public import clip_of, draw_video, loaded

from taskprompt.backbones.uniformerv2 import Uniformerv2
from taskprompt.core.errors import SpecError


@pytest.mark.parametrize(
    ("options", "classes", "frames", "millions"),
    [
        ({"size": "B"}, 400, 8, 114.55),
        ({"size": "B", "local": True}, 174, 16, 162.99),
        ({"size": "L"}, 400, 8, 354.10),
    ],
)
def test_as_many_parameters_as_published(options, classes, frames, millions):
    """With the classifier of its data set."""
    backbone = Uniformerv2(**options)
    with torch.device("meta"):
        encoder = backbone.build(clip_of(frames, 224, 224))
    count = sum(p.numel() for p in encoder.parameters()) + (encoder.norm.weight.numel() + 1) * classes
    assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize("local", [False, True])
@torch.no_grad()
def test_the_public_code_names_and_computes_the_same(local):
    clip = clip_of(4, 32, 32)
    backbone = Uniformerv2(size="tiny", local=local)
    theirs = drawn(PublicUniformerV2(64, 4, 4, 8, 32, backbone.readers(), local, classes=5), 3)
    encoder, done = loaded(theirs.state_dict(), backbone, clip)
    assert (done.layout.name, done.missing, done.unexpected, done.resized, done.inflated) == (
        "uniformerv2", [], [], {}, {},
    )  # fmt: skip
    video = draw_video(clip, 2)
    expected = theirs(video.permute(0, 4, 1, 2, 3))
    found = encoder(video)[0].summary @ done.head["weight"].T + done.head["bias"]
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-5


@torch.no_grad()
def test_mmaction2_s_names_and_frozen_trunks():
    """mmaction2's last norm is beside the blocks; where the trunk was frozen, the query alone is read."""
    clip, spec = clip_of(4, 32, 32), Uniformerv2(size="tiny")
    theirs = drawn(PublicUniformerV2(64, 4, 4, 8, 32, spec.readers(), False, classes=5), 3)
    named = loaded(theirs.state_dict(), spec, clip)[1]
    renamed = loaded(as_mmaction2(theirs.state_dict()), spec, clip)[1]
    assert (renamed.missing, renamed.unexpected) == ([], [])
    assert all(renamed.tensors[n].equal(t) for n, t in named.tensors.items())
    assert all(renamed.head[n].equal(t) for n, t in named.head.items())
    frozen = drawn(PublicUniformerV2(64, 4, 4, 8, 32, spec.readers(), False, classes=5, frozen=True), 3)
    encoder, done = loaded(frozen.state_dict(), spec, clip)
    assert (done.missing, done.lost) == ([], [])
    video = draw_video(clip, 2)
    found = encoder(video)[0].summary @ done.head["weight"].T + done.head["bias"]
    assert (found - frozen(video.permute(0, 4, 1, 2, 3))).abs().max() < 1e-5


@torch.no_grad()
def test_at_another_size():
    theirs = drawn(PublicUniformerV2(64, 4, 4, 8, 32, (2, 3), False, classes=5), 4)
    _, done = loaded(theirs.state_dict(), Uniformerv2(size="tiny"), clip_of(2, 48, 40))
    assert done.resized == {"place": ((4, 4, 64), (6, 5, 64))}


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tower")
    name = open_clip_folder(folder, layers=4, head_width=16)
    torch.manual_seed(1)
    return open_clip.create_model(name, load_weights=False).eval()


@pytest.mark.parametrize("local", [False, True])
@torch.no_grad()
def test_it_starts_as_the_tower_of_open_clip(tower, local):
    """Frame by frame, with the weights of CLIP; for `local` the first kernel has them in the middle of three frames."""
    clip = clip_of(4, 32, 32)
    encoder, done = loaded(tower.state_dict(), Uniformerv2(size="tiny", local=local), clip)
    assert done.layout.name == "open_clip"
    assert {n.split(".")[0] for n in done.missing} == {"query", "balance", "global_blocks", "norm"} | (
        {"blocks"} if local else set()
    )
    assert done.inflated == {"stem.weight": ((64, 3, 8, 8), (64, 3, 3 if local else 1, 8, 8))} or not local
    video = draw_video(clip, 2)
    features, _ = encoder(video)
    seen = video[:, ::2] if local else video
    images = seen.flatten(0, 1).movedim(-1, 1)
    theirs = tower.visual.transformer(tower.visual._embeds(images)).unflatten(0, (2, -1))
    expected = F.layer_norm(theirs, (64,))
    assert expected.std() > 0.5
    assert (features.patches.flatten(2, 3) - expected[:, :, 1:]).abs().max() < 1e-5
    cls = F.layer_norm(theirs[:, :, 0].mean(1) / 2, (64,))  # the query is zero, and has half the weight
    assert (features.summary - cls).abs().max() < 1e-5


def test_refuses():
    with pytest.raises(SpecError, match="reads is 4, expected blocks from 0 to 3"):
        Uniformerv2(size="tiny", reads=(4,)).dims(clip_of(2, 32, 32))
    with pytest.raises(SpecError, match="expected multiples of the patch"):
        Uniformerv2(size="B", local=True).dims(clip_of(3, 224, 224))
