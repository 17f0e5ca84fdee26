"""Every kind of every room, found by listing, passes the check of its interface, on drawn clips where it reads any."""

import numpy as np
import pytest
from moody import serving

from taskprompt.core.balancer import Balancer
from taskprompt.core.clip import ClipSpec
from taskprompt.core.labeler import Labeler
from taskprompt.core.model import Backbone, Prompter
from taskprompt.core.moment import Middle
from taskprompt.core.source import Source
from taskprompt.core.spec import kind_of, kinds, resolve
from taskprompt.core.task import Task
from taskprompt.core.tracker import Tracker
from taskprompt.core.types import Dims
from taskprompt.recipe.schema import interfaces, one_line
from taskprompt.testing import (
    check_backbone,
    check_balancer,
    check_labeler,
    check_prompter,
    check_source,
    check_task,
    check_tracker,
)
from taskprompt.video.store import write_sample

ALL = [(interface, kind) for interface in interfaces() for kind in kinds(interface)]
CLIP = ClipSpec(frames=4, height=32, width=32, fps=4)
ACTIONS = ["walk", "kick"]
SCENES = {"kind": "scenes", "clips": 2, "size": 32, "actions": ACTIONS}
OPTIONS = {  # what a kind cannot do without, or what keeps it small
    "action": {"classes": ACTIONS},
    "segmentation": {"classes": 10, "height": 6, "width": 8},
    "caption": {"width": 6},
    "depth": {"height": 6, "width": 8},
    "normal": {"height": 6, "width": 8},
    **{kind: {"size": "tiny"} for kind in ("motionformer", "mvit", "timesformer", "uniformerv2", "vit")},
    "clip": {"model": "ViT-S-32-alt"},
    "hf": {"config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}},
    "timm": {"model": "vit_tiny_patch16_224"},
    "tiny": {"dim": 32, "depth": 2, "patch": (2, 8, 8)},
    "text_embedding": {"captions": ["text_detail"], "model": "ViT-S-32-alt", "table": "labels"},
    "vlm_caption": {"table": "labels", "height": 32, "width": 32},
    "fixed": {"weights": {"a": 2.0}},
}


def make(interface, kind, **options):
    return interface.model_validate({"kind": kind} | OPTIONS.get(kind, {}) | options)


@pytest.fixture(scope="module")
def samples():
    """Two drawn clips, with all labels."""
    source = Source.model_validate(SCENES)
    return [source.load(row, CLIP, Middle()) for row in source.rows()]


def test_every_interface_has_kinds_and_is_tested_here():
    assert {interface for interface, _ in ALL} == set(interfaces())
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {interface.__name__.lower() for interface in interfaces()} <= tests


@pytest.mark.parametrize(("interface", "kind"), ALL, ids=[f"{i.__name__}-{k}" for i, k in ALL])
def test_a_kind_is_its_module_and_says_what_it_is(interface, kind):
    found = resolve(kind, interface)
    assert kind_of(found) == kind
    assert one_line(found).endswith(".")
    assert len(one_line(found)) > 20


@pytest.mark.parametrize("kind", kinds(Task))
def test_task(kind, samples):
    dims = Dims(CLIP.frames, CLIP.height, CLIP.width, (2, 4, 4), 16, ((2, 4, 4, 16),))
    check_task(make(Task, kind), dims, *(label_of(kind, s) for s in samples))


def label_of(kind, sample):
    """The drawn label that a kind reads; for captions, vectors that a text tower might give."""
    if kind != "caption":
        return sample.labels[kind]
    text = sample.labels["text_category"]
    return {"text": text, "vectors": np.random.default_rng(list(text.encode())).normal(size=(1, 6))}


@pytest.mark.parametrize("kind", kinds(Source))
def test_source(kind, samples, tmp_path):
    for sample in samples:
        write_sample(tmp_path, f"{sample.labels['action']}/{sample.key.replace('/', '-')}", sample)
    options = {"scenes": SCENES, "folder": {"kind": "folder", "path": str(tmp_path)}}
    check_source(Source.model_validate(options[kind]), CLIP)


@pytest.mark.parametrize("kind", kinds(Backbone))
def test_backbone(kind):
    check_backbone(make(Backbone, kind), CLIP)


@pytest.mark.parametrize("kind", kinds(Prompter))
def test_prompter(kind):
    check_prompter(make(Prompter, kind), make(Backbone, "tiny"), CLIP, {"action": 0, "depth": 1, "boxes": 2})


@pytest.mark.parametrize("kind", kinds(Labeler))
def test_labeler(kind, samples):
    with serving() as url:  # a real model answers in tests/labelers/test_vllm.py
        options = {"server": {"url": url, "model": "any"}} if kind == "vlm_caption" else {}
        check_labeler(make(Labeler, kind, **options), samples)


@pytest.mark.parametrize("kind", kinds(Tracker))
def test_tracker(kind, tmp_path):
    check_tracker(make(Tracker, kind), tmp_path)


@pytest.mark.parametrize("kind", kinds(Balancer))
def test_balancer(kind):
    check_balancer(make(Balancer, kind))
