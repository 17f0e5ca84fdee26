"""Every backbone keeps the promises of the interface."""

import pytest
import torch
from encoders import CASES

from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone
from taskprompt.core.spec import kinds
from taskprompt.testing.backbone import check_backbone


def test_every_kind_has_a_case():
    assert kinds(Backbone) == sorted(CASES)


@pytest.mark.parametrize(("kind", "case"), [(k, i) for k, cases in CASES.items() for i in range(len(cases))])
def test_promises(kind, case):
    options, (frames, height, width) = CASES[kind][case]
    backbone = Backbone.model_validate({"kind": kind, **options})
    check_backbone(backbone, ClipSpec(frames=frames, height=height, width=width, fps=None))


@pytest.mark.parametrize("kind", [kind for kind in CASES if kind not in ("clip", "hf")])  # others' blocks have none
def test_drop_path_skips_whole_samples_in_training_alone(kind):
    options, (frames, height, width) = CASES[kind][0]
    backbone = Backbone.model_validate({"kind": kind, **options, "drop_path": 0.5})
    encoder = backbone.build(ClipSpec(frames=frames, height=height, width=width, fps=None))
    video = torch.randn(1, frames, height, width, 3).expand(8, -1, -1, -1, -1)
    assert encoder(video)[0].summary.std(0).max() > 1e-3
    assert encoder.eval()(video)[0].summary.std(0).max() < 1e-5
