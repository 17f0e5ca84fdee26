"""How far each backbone's outputs are from its reference's, on random clips: `python tests/support/parity.py`.

The reference is the public library's own model, small and with random weights, or, where its code is no library, the
published equations in plain torch. Its weights are loaded through the layout of the files that it writes."""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

import mvit_public
import towers
from drawn import drawn
from motionformer_public import PublicMotionformer
from towers_public import open_clip_folder
from uniformer_public import PublicUniformerV2
from vit_public import clip_of, draw_video, loaded, timesformer, videomae, videomae_pretrained

from taskprompt.backbones.clip import Clip
from taskprompt.backbones.hf import FAMILIES, Hf
from taskprompt.backbones.motionformer import Motionformer
from taskprompt.backbones.mvit import Mvit
from taskprompt.backbones.timesformer import Timesformer
from taskprompt.backbones.timm import Timm
from taskprompt.backbones.uniformerv2 import Uniformerv2
from taskprompt.backbones.vit import Vit
from taskprompt.core.model import Backbone

CLIP = clip_of(4, 64, 64)


def compared(spec: Backbone, theirs: Any, tensors: dict[str, Tensor], answer: Callable[[Tensor], Tensor]) -> float:
    """The largest difference of logits, or of the summary where the reference has no classifier."""
    encoder, done = loaded(tensors, spec, CLIP)
    assert (done.lost, done.extra, done.settings) == ([], [], {})
    video = draw_video(CLIP, 2)
    found = encoder(video)[0].summary
    if {"weight", "bias"} == done.head.keys():
        found = torch.nn.functional.linear(found, done.head["weight"], done.head["bias"])
    wanted = answer(video)
    assert wanted.std() > 0.02
    return float((found - wanted).abs().max())


def mvit(summary: str, widen: str) -> float:
    theirs = mvit_public.reference((4, 64, 64), late=widen == "mlp")
    spec = Mvit(size="tiny", drop_path=0.0, summary=summary, widen=widen)  # type: ignore[arg-type]

    def answer(video: Tensor) -> Tensor:
        pixels = video.permute(0, 4, 1, 2, 3)
        return theirs(pixels) if summary == "cls" else mvit_public.of_mean(theirs, pixels)

    return compared(spec, theirs, mvit_public.as_slowfast(theirs.state_dict()), answer)


def vit(pretrained: bool) -> float:
    theirs = videomae_pretrained(CLIP) if pretrained else videomae(CLIP)
    spec = Vit(size="tiny", summary="norm_first" if pretrained else "mean")

    def answer(video: Tensor) -> Tensor:
        pixels = video.movedim(-1, 2)
        return theirs.videomae(pixels).last_hidden_state.mean(1) if pretrained else theirs(pixels).logits

    return compared(spec, theirs, theirs.state_dict(), answer)


def divided() -> float:
    theirs = timesformer(CLIP)
    spec = Timesformer(size="tiny")
    return compared(spec, theirs, theirs.state_dict(), lambda video: theirs(video.movedim(-1, 2)).logits)


def motionformer(project_values: bool) -> float:
    theirs = drawn(PublicMotionformer(128, 4, 4, frames=2, side=4))
    spec = Motionformer(size="tiny", project_values=project_values)
    return compared(spec, theirs, theirs.state_dict(), lambda video: theirs(video, project_values))


def uniformerv2(local: bool, frozen: bool = False) -> float:
    spec = Uniformerv2(size="tiny", local=local)
    theirs = drawn(PublicUniformerV2(64, 4, 4, 8, 64, spec.readers(), local, classes=5, frozen=frozen), 3)
    return compared(spec, theirs, theirs.state_dict(), lambda video: theirs(video.permute(0, 4, 1, 2, 3)))


def clip() -> float:
    import open_clip

    with tempfile.TemporaryDirectory() as folder:
        name = open_clip_folder(Path(folder), image_size=64)
        torch.manual_seed(1)
        theirs: Any = open_clip.create_model(name, load_weights=False).eval()
        encoder, _ = loaded(theirs.state_dict(), Clip(model=name), CLIP)
    video = draw_video(CLIP, 2)
    wanted = theirs.encode_image(video.flatten(0, 1).movedim(-1, 1)).unflatten(0, (2, 4)).mean(1)
    assert wanted.std() > 0.02
    return float((encoder(video)[0].summary @ theirs.visual.proj - wanted).abs().max())


def timm(name: str) -> float:
    import timm as library

    side = 56 if "patch14" in name else 64
    size = clip_of(2, side, side)
    theirs: Any = drawn(library.create_model(name, pretrained=False, img_size=side, num_classes=0))
    encoder, _ = loaded(theirs.state_dict(), Timm(model=name), size)
    video = draw_video(size, 2)
    wanted = theirs(video.flatten(0, 1).movedim(-1, 1)).unflatten(0, (2, 2)).mean(1)
    assert wanted.std() > 0.02
    return float((encoder(video)[0].summary - wanted).abs().max())


def hf(model: str) -> float:
    from hf_public import answer_of, config_of, theirs_of

    theirs = theirs_of(model)
    side = clip_of(4, 32, 32)
    encoder, done = loaded(theirs.state_dict(), Hf(model=model, config=config_of(model)), side)
    video = draw_video(side, 2)
    found = encoder(video)[0].summary
    if {"weight", "bias"} == done.head.keys() and model != "vjepa2":
        found = torch.nn.functional.linear(found, done.head["weight"], done.head["bias"])
    return float((found - answer_of(model, theirs, video.movedim(-1, 2))).abs().max())


def text_tower(name: str) -> float:
    """Over texts alone and in batches."""
    with tempfile.TemporaryDirectory() as folder:
        model = towers.build(name, Path(folder))
        expected = towers.open_clip_s_own(model)
        found = [(expected[batch], [a.value["vectors"] for a in answers]) for batch, answers in towers.ours(model)]
    return max(float(abs(np.concatenate(vectors) - wanted).max()) for wanted, vectors in found)


TIMM = ("vit_tiny_patch16_224", "deit3_small_patch16_224", "vit_small_patch14_reg4_dinov2")
HF = {name.removesuffix("_vision_model"): family for name, family in FAMILIES.items()}
ROWS: dict[str, tuple[str, Callable[[], float]]] = {
    "mvit": ("torchvision MViT", partial(mvit, "cls", "attention")),
    "mvit, summary mean, widen mlp": ("torchvision MViT, SlowFast's mean pooling", partial(mvit, "mean", "mlp")),
    "vit": ("transformers VideoMAEForVideoClassification", partial(vit, pretrained=False)),
    "vit, summary norm_first": ("transformers VideoMAEForPreTraining", partial(vit, pretrained=True)),
    "timesformer": ("transformers TimesformerForVideoClassification", divided),
    "motionformer": ("its equations, as its code has them", partial(motionformer, False)),
    "motionformer, project_values": ("its equations, as its paper has them", partial(motionformer, True)),
    "uniformerv2": ("its equations", partial(uniformerv2, local=False)),
    "uniformerv2, local": ("its equations", partial(uniformerv2, local=True)),
    "uniformerv2, frozen": ("its equations", partial(uniformerv2, local=False, frozen=True)),
    "clip": ("open_clip CLIP.encode_image", clip),
    **{f"timm, {name}": ("timm", partial(timm, name)) for name in TIMM},
    **{f"hf, {name}": (f"transformers {family.model}", partial(hf, name)) for name, family in HF.items()},
}  # fmt: skip


if __name__ == "__main__":
    with torch.no_grad():
        print(f"{'model':42} {'reference':50} largest difference")
        for name, (reference, difference) in ROWS.items():
            print(f"{name:42} {reference:50} {difference():.1e}", flush=True)
        for name in towers.EVERY:  # tested in tests/labelers
            print(f"{'text tower, ' + name:42} {'open_clip, encode_text':50} {text_tower(name):.1e}", flush=True)
