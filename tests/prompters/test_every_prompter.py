"""Every prompter keeps the promises of the interface."""

import pytest

from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone, Prompter
from taskprompt.core.spec import kinds
from taskprompt.testing.prompter import check_prompter

BACKBONES = [
    {"kind": "tiny", "patch": (2, 8, 8), "dim": 32, "depth": 2},
    *({"kind": kind, "size": "tiny"} for kind in ("motionformer", "mvit", "timesformer", "vit")),
]

PROMPTERS = [
    {"kind": "none"},
    {"kind": "processors"},
    {"kind": "shared"},
    {"kind": "tokens"},
    {"kind": "tokens", "neutral": 2},
    {"kind": "tokens", "deep": True, "neutral": 1},
]


def test_every_kind_has_a_case():
    assert kinds(Prompter) == sorted({p["kind"] for p in PROMPTERS})


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b["kind"])
@pytest.mark.parametrize("options", PROMPTERS, ids=lambda p: "-".join(map(str, p.values())))
def test_promises(options, backbone):
    prompter, spec = Prompter.model_validate(options), Backbone.model_validate(backbone)
    clip = ClipSpec(frames=4, height=16, width=16, fps=None)
    check_prompter(prompter, spec, clip, {"action": 1, "depth": 3, "boxes": 0, "pose3d": 2})
