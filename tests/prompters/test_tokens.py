"""tokens: how they start, what they own, and how they are split."""

import pytest
import torch

from taskprompt.backbones.tiny import Tiny
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.types import Dims
from taskprompt.prompters.none import NoPrompts
from taskprompt.prompters.shared import Shared
from taskprompt.prompters.tokens import Tokens

TINY = Tiny(patch=(2, 8, 8), dim=32, depth=1)
CLIP = ClipSpec(frames=2, height=16, width=16, fps=None)


def dims(**prompts: int) -> Dims:
    return Dims(2, 16, 16, (1, 2, 2), 64, widths=(32,), prompts=prompts)


def test_initial_tokens():
    torch.manual_seed(0)
    tokens = Tokens(scale=0.5).build(dims(depth=40, boxes=0, pose3d=1)).tokens
    assert {n: tuple(p.shape) for n, p in tokens.items()} == {"depth": (40, 32), "pose3d": (1, 32)}
    assert abs(tokens["depth"].std() - 0.5) < 0.03


def test_each_task_gets_its_own_tokens():
    """With an encoder that hands the prompts back, a task's prompt is its token, the same for every clip."""
    prompter = Tokens().build(dims(depth=2, pose3d=1))
    encoder = TINY.build(CLIP)

    def echo(video, prompts):
        return encoder(video)[0], prompts

    features = prompter(echo, torch.zeros(3, 2, 16, 16, 3))
    for name, token in prompter.tokens.items():
        torch.testing.assert_close(features.prompts[name], token.expand(3, -1, -1))


def test_heads_of_a_model_without_prompts_get_none():
    features = NoPrompts().build(dims(depth=2))(TINY.build(CLIP), torch.zeros(1, 2, 16, 16, 3))
    assert features.prompts == {}


def test_neutral_tokens_change_the_features_and_belong_to_no_task():
    torch.manual_seed(0)
    encoder, video = TINY.build(CLIP).eval(), torch.randn(1, 2, 16, 16, 3)
    features = Tokens(neutral=3).build(dims())(encoder, video)
    assert features.prompts == {}
    assert (features.summary - encoder(video)[0].summary).abs().max() > 0


def test_deep_tokens_are_new_at_every_block():
    """With blocks that hand everything on, what comes out are the last block's tokens, and none of the first."""
    sizes = Dims(2, 16, 16, (1, 2, 2), 64, widths=(32, 48, 64), prompts={"depth": 1, "pose3d": 2})
    prompter, prompts = Tokens(deep=True).build(sizes), []
    encoder = TINY.build(CLIP)

    def last(video, given):
        prompts.extend(given)
        return encoder(video)[0], given[-1]

    features = prompter(last, torch.zeros(2, 2, 16, 16, 3))
    assert [tuple(g.shape) for g in prompts] == [(2, 3, 32), (2, 3, 48), (2, 3, 64)]
    torch.testing.assert_close(features.prompts["pose3d"][1], prompter.later[-1][1:])
    with pytest.raises(SpecError, match="Set deep: false"):
        Tokens(deep=True).check(Dims(2, 16, 16, (1, 2, 2), 64))


def test_dropout_of_tokens_in_training_alone():
    torch.manual_seed(0)
    prompter, encoder = Tokens(dropout=0.5).build(dims(depth=50)), TINY.build(CLIP)

    def echo(video, prompts):
        return encoder(video)[0], prompts

    prompt = prompter(echo, torch.zeros(1, 2, 16, 16, 3)).prompts["depth"]
    assert 0.45 < (prompt == 0).float().mean() < 0.55
    assert (prompter.eval()(echo, torch.zeros(1, 2, 16, 16, 3)).prompts["depth"] != 0).all()


def test_one_shared_token_is_as_wide_as_all_that_it_stands_for():
    prompter, encoder = Shared().build(dims(depth=2, pose3d=1, boxes=0)), TINY.build(CLIP)
    assert sum(p.numel() for p in prompter.parameters()) == 3 * 32 + 3 * 32 * 32 + 32  # values, projection, bias

    def echo(video, prompts):
        return encoder(video)[0], prompts

    prompts = prompter(echo, torch.zeros(1, 2, 16, 16, 3)).prompts
    assert {n: tuple(p.shape) for n, p in prompts.items()} == {"depth": (1, 2, 32), "pose3d": (1, 1, 32)}
    torch.testing.assert_close(prompts["depth"][:, :1], prompts["pose3d"])
