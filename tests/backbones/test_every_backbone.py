"""Every backbone keeps the promises of the interface."""

import pytest
import torch

from taskprompt.core.model import Backbone
from taskprompt.core.source import ClipSpec
from taskprompt.core.spec import kinds
from taskprompt.testing.backbone import check_backbone

# A small spec of every kind and clips it must take; odd sizes where the kind promises any.
CASES = {
    "clip": [({"model": "ViT-S-32-alt"}, (2, 32, 64)), ({"model": "ViT-S-16-alt", "levels": (3,)}, (1, 32, 16))],
    "hf": [
        (
            {"config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}},
            (4, 32, 32),
        )
    ],
    "motionformer": [
        ({"size": "tiny"}, (4, 32, 48)),
        ({"size": "tiny", "project_values": True, "patch": (1, 8, 16), "levels": (3, 1)}, (3, 16, 32)),
    ],
    "mvit": [({"size": "tiny"}, (8, 32, 32)), ({"size": "tiny", "stride": (1, 4, 4), "levels": (0, 4)}, (3, 36, 52))],
    "tiny": [
        ({"patch": (2, 8, 8), "dim": 32, "depth": 2}, (4, 16, 24)),
        ({"patch": (1, 16, 8), "dim": 32, "levels": ()}, (2, 32, 16)),
    ],
    "timm": [({"model": "vit_tiny_patch16_224"}, (2, 32, 16))],
    "timesformer": [
        ({"size": "tiny"}, (3, 32, 48)),
        ({"size": "tiny", "patch": (2, 8, 16), "levels": ()}, (2, 16, 16)),
    ],
    "uniformerv2": [
        ({"size": "tiny"}, (2, 16, 24)),
        ({"size": "tiny", "local": True, "levels": (1,), "reads": (0, 3)}, (4, 16, 16)),
    ],
    "vit": [
        ({"size": "tiny"}, (4, 32, 48)),
        ({"size": "tiny", "summary": "norm_first", "positions": "learned", "patch": (1, 8, 16)}, (3, 16, 32)),
        ({"size": "tiny", "summary": "cls", "levels": (2,)}, (2, 32, 16)),
    ],
}


def test_every_kind_has_a_case():
    assert kinds(Backbone) == sorted(CASES)
    assert len(CASES) == 9


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
