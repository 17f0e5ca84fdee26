"""tokens: how they start, what they own, and how they are split."""

import torch

from taskprompt.backbones.tiny import Tiny
from taskprompt.core.source import ClipSpec
from taskprompt.core.types import Dims
from taskprompt.prompters.none import NoPrompts
from taskprompt.prompters.tokens import Tokens

TINY = Tiny(patch=(2, 8, 8), dim=32, depth=1)
CLIP = ClipSpec(frames=2, height=16, width=16, fps=None)


def dims(**prompts: int) -> Dims:
    return Dims(2, 16, 16, (1, 2, 2), 64, token_dim=32, prompts=prompts)


def test_initial_tokens():
    torch.manual_seed(0)
    tokens = Tokens(scale=0.5).build(dims(depth=40, boxes=0, pose3d=1)).tokens
    assert {n: tuple(p.shape) for n, p in tokens.items()} == {"depth": (40, 32), "pose3d": (1, 32)}
    assert abs(tokens["depth"].std() - 0.5) < 0.03


def test_each_task_gets_its_own_tokens():
    """With an encoder that hands the guests back, a task's prompt is its token, the same for every clip."""
    prompter = Tokens().build(dims(depth=2, pose3d=1))
    encoder = TINY.build(CLIP)

    def echo(video, guests):
        return encoder(video)[0], guests

    features = prompter(echo, torch.zeros(3, 2, 16, 16, 3))
    for name, token in prompter.tokens.items():
        torch.testing.assert_close(features.prompts[name], token.expand(3, -1, -1))


def test_heads_of_a_model_without_prompts_get_none():
    features = NoPrompts().build(dims(depth=2))(TINY.build(CLIP), torch.zeros(1, 2, 16, 16, 3))
    assert features.prompts == {}
