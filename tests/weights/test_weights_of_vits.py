"""Files of VideoMAE, TimeSformer, Motionformer and timm, as they are published, in a recipe: read, heads and all."""

from argparse import Namespace

import pytest
import torch
from drawn import drawn
from motionformer_public import PublicMotionformer
from safetensors.torch import save_file
from vit_public import (
    as_hub,
    as_timesformer,
    as_timm,
    as_videomae,
    clip_of,
    draw_video,
    images,
    timesformer,
    videomae,
    videomae_pretrained,
)

import taskprompt as tp
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import validate
from taskprompt.weights.start import starting_weights

CLIP = clip_of(4, 64, 64)
VIT, DIVIDED, ALONG = ({"kind": kind, "size": "tiny"} for kind in ("vit", "timesformer", "motionformer"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load(squares):
    """A function: file, backbone, classes, task of the head -> the model that starts from it, report, names changed."""

    def load(file: str, backbone: dict, classes: int | list, head: str | None):
        squares["tasks"]["action"]["classes"] = classes
        clip = {"frames": CLIP.frames, "height": CLIP.height, "width": CLIP.width}
        recipe = validate(
            squares | {"clip": clip, "backbone": backbone, "weights": {"path": file, "head": head}}, "r", tp.Recipe
        )
        model = build_model(recipe)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        tensors, report = starting_weights(recipe, model)
        model.load_state_dict(tensors, strict=False)
        moved = {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}
        return model.eval(), report, moved

    return load


def write(file: str, classes: int):
    """One of them in the way its makers save it -> the backbone it is for, its layout, and the reference."""
    of_mae, of_time = videomae(CLIP, classes), timesformer(CLIP, classes)
    mae, divided = of_mae.state_dict(), of_time.state_dict()
    match file:
        case "videomae.pth":
            torch.save({"module": as_videomae(mae), "epoch": 99}, file)
            return VIT, "videomae", of_mae
        case "videomae.safetensors":
            save_file(as_hub(mae), file, {"format": "pt"})
            return VIT, "transformers", of_mae
        case "timesformer.pyth":
            torch.save({"model_state": as_timesformer(divided), "optimizer_state": {}, "cfg": "DATA:\n"}, file)
            return DIVIDED, "timesformer", of_time
        case _:
            torch.save(divided, file)
            return DIVIDED, "transformers", of_time


@pytest.mark.parametrize("classes", [400, 174])
@pytest.mark.parametrize("file", ["videomae.pth", "videomae.safetensors", "timesformer.pyth", "timesformer.bin"])
@torch.no_grad()
def test_a_head_is_kept_or_replaced(file, classes, load):
    """Also by way of convert, after which the file is ours."""
    backbone, layout, theirs = write(file, classes)
    report = tp.convert(file, backbone, "ours.safetensors")
    assert (report.layout, report.missing, report.unexpected) == (layout, (), ())
    video = draw_video(CLIP)
    expected = theirs(video.permute(0, 1, 4, 2, 3)).logits
    for path, found in ((file, layout), ("ours.safetensors", "taskprompt")):
        model, report, _ = load(path, backbone, classes, "action")
        assert (report.layout, report.head) == (found, f"{classes} classes, kept for task action")
        logits = model.heads["action"](None, model.encoder(video)[0])
        assert (logits - expected).abs().max() < 1e-5
        model, report, moved = load(path, backbone, 11, None)
        assert report.head == f"{classes} classes, not loaded"
        assert moved == {f"encoder.{name}" for name in model.encoder.state_dict()}
    with pytest.raises(tp.CheckpointError, match=rf"linear.weight is {classes} x 128, task 'action' needs 11 x 128"):
        load(file, backbone, 11, "action")


def test_pretraining_leaves_its_options_and_decoder_behind(load):
    holds = {"model": as_videomae(videomae_pretrained(CLIP).state_dict()), "args": Namespace(mask_ratio=0.9)}
    torch.save(holds, "pretrained.pth")
    _, report, moved = load("pretrained.pth", VIT | {"summary": "norm_first"}, 11, None)
    assert (len(report.matched), report.missing, report.head) == (4 * 12 + 4, (), "none in the file")
    assert len(moved) == len(report.matched)
    with pytest.raises(tp.CheckpointError, match="has no classifier for task 'action'"):
        load("pretrained.pth", VIT, 400, "action")


def test_a_model_of_images_starts_all_but_time(load):
    torch.save(as_timm(images(64).state_dict()), "vit.pth")
    _, report, moved = load("vit.pth", DIVIDED, 11, None)
    assert (report.layout, report.head) == ("timm", "1000 classes, not loaded")
    assert report.missing == ("time", *(f"blocks.{i}.time_fc.{part}" for i in range(4) for part in ("weight", "bias")))
    assert len(moved) == len(report.matched)
    learned = VIT | {"positions": "learned", "summary": "cls"}
    _, report, _ = load("vit.pth", learned, 11, None)
    assert (report.missing, report.unexpected) == ((), ())


def test_motionformers_classifier_of_two_layers_is_not_kept(load):
    torch.save({"model_state": drawn(PublicMotionformer(128, 4, 4, frames=2, side=4)).state_dict()}, "ssv2.pyth")
    _, report, moved = load("ssv2.pyth", ALONG, 174, None)
    assert (report.missing, report.head) == ((), "4 tensors, not loaded")
    assert len(moved) == len(report.matched)
    words = r"its classifier has 4 tensors and the head of task 'action' has 2, expected one linear layer each"
    with pytest.raises(tp.CheckpointError, match=f"^ssv2.pyth: {words}. Remove weights.head.$"):
        load("ssv2.pyth", ALONG, 174, "action")
