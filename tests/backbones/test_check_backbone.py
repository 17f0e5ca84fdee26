"""check_backbone finds encoders that break a promise."""

import pytest
import torch

from taskprompt.backbones.tiny import Tiny
from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Encoder
from taskprompt.nn.blocks import Block
from taskprompt.nn.vit import ClsEncoder
from taskprompt.testing.backbone import check_backbone

CLIP = ClipSpec(frames=2, height=16, width=16, fps=None)
SMALL = {"patch": (2, 8, 8), "dim": 16, "depth": 1, "heads": 1}


class Broken(ClsEncoder):
    """Breaks one promise, named by `how`."""

    how = ""

    def forward(self, video, prompts=None):
        if self.how == "the batch leaks":
            video = video + video.mean(0)
        features, out = super().forward(video, prompts)
        if out is None:
            return features, out
        if self.how == "prompts are not seen":
            features, _ = super().forward(video)
        if self.how == "prompts do not see":
            out = self.norm(prompts)
        if self.how == "prompts are lost":
            out = out[:, 1:]
        return features, out


class BrokenTiny(Tiny):
    how: str

    def build(self, clip) -> Encoder:
        blocks = (Block(self.dim, self.heads) for _ in range(self.depth))
        encoder = Broken(self.dims(clip), self.patch, blocks, self.level_blocks())
        encoder.how = self.how
        if self.how == "a weight idles":
            encoder.idle = torch.nn.Parameter(torch.zeros(1))
        return encoder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("the batch leaks", "a sample depends on its batch"),
        ("prompts are not seen", "prompt 0 does not affect"),
        ("prompts do not see", "prompt 0 does not"),
        ("prompts are lost", "with prompts the shapes are"),
        ("a weight idles", "no gradient reaches idle"),
    ],
)
def test_finds(how, message):
    with pytest.raises(AssertionError, match=message):
        check_backbone(BrokenTiny(how=how, **SMALL), CLIP)


def test_passes_a_users_own():
    check_backbone(BrokenTiny(how="", **SMALL), CLIP)
