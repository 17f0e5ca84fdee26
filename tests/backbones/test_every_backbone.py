"""Every backbone keeps the promises of the interface."""

import pytest

from taskprompt.core.model import Backbone
from taskprompt.core.source import ClipSpec
from taskprompt.core.spec import kinds
from taskprompt.testing.backbone import check_backbone

# A small spec of every kind and clips it must take; odd sizes where the kind promises any.
CASES = {
    "mvit": [({"size": "tiny"}, (8, 32, 32)), ({"size": "tiny", "stride": (1, 4, 4), "levels": (0, 4)}, (3, 36, 52))],
    "tiny": [
        ({"patch": (2, 8, 8), "dim": 32, "depth": 2}, (4, 16, 24)),
        ({"patch": (1, 16, 8), "dim": 32, "levels": ()}, (2, 32, 16)),
    ],
}


def test_every_kind_has_a_case():
    assert kinds(Backbone) == sorted(CASES)
    assert len(CASES) == 2


@pytest.mark.parametrize(("kind", "case"), [(k, i) for k, cases in CASES.items() for i in range(len(cases))])
def test_promises(kind, case):
    options, (frames, height, width) = CASES[kind][case]
    backbone = Backbone.model_validate({"kind": kind, **options})
    check_backbone(backbone, ClipSpec(frames=frames, height=height, width=width, fps=None))
