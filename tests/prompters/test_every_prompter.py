"""Every prompter keeps the promises of the interface."""

import pytest

from taskprompt.core.model import Backbone, Prompter
from taskprompt.core.source import ClipSpec
from taskprompt.core.spec import kinds
from taskprompt.testing.prompter import check_prompter

BACKBONES = [{"kind": "tiny", "patch": (2, 8, 8), "dim": 32, "depth": 2}, {"kind": "mvit", "size": "tiny"}]


def test_how_many_kinds():
    assert kinds(Prompter) == ["none", "tokens"]


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b["kind"])
@pytest.mark.parametrize("kind", kinds(Prompter))
def test_promises(kind, backbone):
    prompter, spec = Prompter.model_validate({"kind": kind}), Backbone.model_validate(backbone)
    clip = ClipSpec(frames=4, height=16, width=16, fps=None)
    check_prompter(prompter, spec, clip, {"action": 1, "depth": 3, "boxes": 0, "pose3d": 2})
