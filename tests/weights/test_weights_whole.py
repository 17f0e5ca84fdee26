"""A checkpoint is loaded whole or refused: what it lacks, what it has too many, and numbers that are of no use."""

import pytest
import torch
from mvit_public import as_slowfast, of_mean, reference
from vit_public import as_timm, as_videomae, clip_of, draw_video, images, videomae

from taskprompt.backbones.mvit import Mvit
from taskprompt.backbones.vit import Vit
from taskprompt.core.errors import CheckpointError
from taskprompt.core.model import Backbone
from taskprompt.weights.file import Found
from taskprompt.weights.fit import fitting

CLIP = clip_of(4, 64, 64)
VIT = Vit(size="tiny")
OF_IMAGES = Vit(size="tiny", positions="learned", summary="cls")
FC1 = "blocks.1.mlp.fc1.weight"


@pytest.fixture(scope="module")
def mae():
    return as_videomae(videomae(CLIP).state_dict())


def fit(tensors, spec: Backbone = VIT, **more):
    with torch.device("meta"):
        encoder = spec.build(CLIP)
    return fitting(Found(tensors, **more), "a.pth", spec, encoder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.bool, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(mae, dtype):
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(CheckpointError, match=f"^a.pth: is quantised, or has no weights: {FC1} is {name}, expected"):
        fit(mae | {FC1: mae[FC1].to(dtype)})
    if dtype == torch.int8:  # also where nothing else of the file is known
        with pytest.raises(CheckpointError, match=r"is quantised, or has no weights: x\.qweight is int8"):
            fit({"x.qweight": torch.ones(2, 2, dtype=dtype), "x.scale": torch.ones(1)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_read(mae, dtype):
    done = fit({name: tensor.to(dtype) for name, tensor in mae.items()})
    assert {t.dtype for t in done.tensors.values()} == {torch.float32}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
@pytest.mark.parametrize("name", [FC1, "blocks.0.attn.q_bias", "head.bias"])
def test_numbers_that_are_none_are_refused_by_name(mae, name, value):
    bad = mae[name].double()
    bad.view(-1)[1] = value
    with pytest.raises(CheckpointError, match=f"^a.pth: has NaN or infinity in {name}"):
        fit(mae | {name: bad})


def test_what_is_left_behind_may_hold_anything(mae):
    assert fit(mae | {"mask": torch.full((3, 3), -float("inf"))}).missing == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blocks.2.mlp.fc1.bias": None}, r"it has 100% of the encoder's values, and lacks blocks.\*.mlp.up.bias"),
        ({"blocks.4.mlp.fc1.bias": (512,)}, r"its blocks have 1 additional tensors, such as blocks.\*.mlp.fc\*.bias"),
        ({"blocks.1.attn.table": (3, 4)}, r"its blocks have 1 additional tensors, such as blocks.\*.attn.table"),
        ({"blocks.0.attn.q_bias": (3, 3)}, "its tensors have shapes that no model of the layout videomae has"),
    ],
)
def test_parts_too_few_or_too_many_are_refused(mae, changes, words):
    changed = mae | {name: torch.zeros(shape or 0) for name, shape in changes.items()}
    with pytest.raises(CheckpointError, match=f"^a.pth: .*{words}"):
        fit({name: tensor for name, tensor in changed.items() if changes.get(name, ()) is not None})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cls_token", ()),
        ("pos_embed", ()),
        ("pos_embed", (17,)),
        ("pos_embed", (1, 0, 128)),
        ("pos_embed", (1, 17, 64)),
    ],
)
def test_tables_of_no_model_are_refused(name, shape):
    with pytest.raises(CheckpointError, match="its tensors have shapes that no model of the layout timm has"):
        fit(as_timm(images(64).state_dict()) | {name: torch.zeros(shape)}, OF_IMAGES)


def test_an_empty_table_is_refused():
    with pytest.raises(CheckpointError, match="such as place: 2 x 0 x 0 x 128, not 2 x 4 x 4 x 128"):
        fit(as_timm(images(64).state_dict()) | {"pos_embed": torch.zeros(1, 1, 128)}, OF_IMAGES)


POOLED = "MVIT:\n  DEPTH: 5\n  USE_MEAN_POOLING: true\n"


@pytest.mark.parametrize(
    ("late", "config", "spec", "words"),
    [
        (True, "", {}, r"it has widen: mlp, not attention\. It fits backbone \{kind: mvit, size: tiny, widen: mlp\}"),
        (False, "", {"widen": "mlp"}, "it has widen: attention, not mlp"),
        (False, POOLED, {}, r"it has summary: mean, not cls\. It fits .*\{kind: mvit, size: tiny, summary: mean\}"),
        (True, POOLED, {"widen": "mlp"}, r"It fits backbone \{kind: mvit, size: tiny, summary: mean, widen: mlp\}"),
        (False, POOLED.replace("true", "false"), {"summary": "mean"}, "it has summary: cls, not mean"),
    ],
)
def test_what_a_file_of_slowfast_fixes(late, config, spec, words):
    """Where its blocks widen is told by shapes, what its classifier reads by the settings that SlowFast saves."""
    tensors = as_slowfast(reference((4, 64, 64), late=late).state_dict())
    with pytest.raises(CheckpointError, match=words):
        fit(tensors, Mvit(size="tiny", **spec), config=config)


@torch.no_grad()
def test_maskfeat_s_models():
    """Fine-tuned, the classifier reads the patches' mean; before that, the last norm is missing."""
    theirs = reference((4, 64, 64), late=True)
    spec = Mvit(size="tiny", summary="mean", widen="mlp")
    tensors, encoder = as_slowfast(theirs.state_dict()), spec.build(CLIP).eval()
    done = fitting(Found(tensors, config=POOLED), "a.pyth", spec, encoder)
    encoder.load_state_dict(done.tensors)
    video = draw_video(CLIP)
    found = encoder(video)[0].summary @ done.head["weight"].T + done.head["bias"]
    assert (found - of_mean(theirs, video.permute(0, 4, 1, 2, 3))).abs().max() < 1e-5
    pretrained = {n: t for n, t in tensors.items() if not n.startswith(("norm.", "head."))}
    pretrained["mask_token"] = torch.zeros(1, 1, 48)
    assert fitting(Found(pretrained), "a.pyth", spec, encoder).missing == ["norm.weight", "norm.bias"]
    dims = spec.dims(CLIP)
    assert (dims.dim, dims.widths, dims.levels[0]) == (192, (48, 96, 96, 192, 192), (2, 16, 16, 96))
