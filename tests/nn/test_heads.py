import itertools

import pytest
import torch
from einops import rearrange
from torch.nn import functional as F

from taskprompt.core.types import Dims, Features
from taskprompt.nn.heads import DenseHead, Level, PromptHead
from taskprompt.testing.task import random_features


def summary(*values):
    return Features(torch.tensor(values), torch.zeros(len(values), 1, 1, 1, len(values[0])), {})


def test_prompt_head_averages_prompts_and_else_reads_the_summary():
    head = PromptHead(2, 3)
    head.linear.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    head.linear.bias.data = torch.tensor([0.0, 0.0, 10.0])
    prompt = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])  # mean 2, 4
    assert head(prompt, summary((7.0, 8.0))).tolist() == [[2.0, 4.0, 16.0]]
    assert head(None, summary((7.0, 8.0))).tolist() == [[7.0, 8.0, 25.0]]
    assert head(prompt[:, :0], summary((7.0, 8.0))).tolist() == [[7.0, 8.0, 25.0]]


def test_prompt_head_gives_the_shape_it_was_asked_for():
    assert PromptHead(4, 8, 25, 3)(None, summary((1.0, 2.0, 3.0, 4.0))).shape == (1, 8, 25, 3)


GRIDS = [
    ((4, 16, 16, 12), (4, 8, 8, 24), (4, 2, 2, 24)),  # a pyramid
    ((3, 5, 7, 8), (2, 3, 3, 8), (1, 1, 1, 8)),  # nothing divides
    ((8, 28, 28, 8),),  # finer than the map
    (),  # the patches alone
]


@pytest.mark.parametrize(("levels", "frames"), list(itertools.product(GRIDS, (4, 7, 16))))
def test_dense_head_gives_every_frame_at_any_ratio(levels, frames):
    dims = Dims(frames, 64, 64, (4, 2, 3), 24, levels)
    head = DenseHead(dims, 5, 9, 14)
    features = random_features(dims, 2)
    assert head(torch.randn(2, 2, 24), features).shape == (2, frames, 9, 14, 5)
    assert head(None, features).shape == (2, frames, 9, 14, 5)


def test_dense_head_reads_every_level_and_the_prompt():
    dims = Dims(4, 64, 64, (2, 2, 2), 8, ((2, 4, 4, 6), (2, 2, 2, 8), (1, 2, 2, 8)))
    features = random_features(dims, 1)
    prompt = torch.randn(1, 1, 8, requires_grad=True)
    for level in features.levels:
        level.requires_grad_()
    DenseHead(dims, 1, 8, 8)(prompt, features).square().sum().backward()
    for read in (prompt, *features.levels):
        assert read.grad is not None
        assert read.grad.flatten(2).norm(dim=-1).gt(0).all()


def test_a_token_reaches_the_pixels_and_frames_that_it_stands_for_and_no_other():
    dims = Dims(4, 64, 64, (2, 2, 2), 8, ((2, 2, 2, 8),))
    head = DenseHead(dims, 1, 6, 6).eval()
    features = random_features(dims, 1)
    before = head(None, features)
    features.levels[0][0, 1, 0, 1] += torch.arange(8.0)
    changed = (head(None, features) != before)[0, ..., 0]  # t h w
    expected = torch.zeros(4, 6, 6, dtype=torch.bool)
    expected[2:, :3, 3:] = True
    assert torch.equal(changed, expected)


def test_upsampling_is_a_transposed_3d_convolution():
    level = Level((2, 2, 3, 8), (4, 6, 6), 5)
    x = torch.randn(1, 2, 2, 3, 8)
    narrow = F.gelu(level.narrow(level.norm(x)))
    kernel = rearrange(level.upsample.weight, "(i j k o) d -> d o i j k", i=2, j=3, k=2)
    bias = rearrange(level.upsample.bias, "(i j k o) -> o i j k", i=2, j=3, k=2).repeat(1, 2, 2, 3)
    expected = F.conv_transpose3d(rearrange(narrow, "m t h w d -> m d t h w"), kernel, stride=(2, 3, 2)) + bias
    assert torch.allclose(rearrange(level(x), "m t h w d -> m d t h w"), expected, atol=1e-6)


def test_the_two_sums_are_the_mlp_on_tokens_with_the_prompt_at_every_position():
    dims = Dims(2, 64, 64, (2, 3, 3), 8)
    head = DenseHead(dims, 2, 3, 3).eval()
    features, prompt = random_features(dims, 2), torch.randn(2, 1, 8)
    tokens = head.levels[0](features.patches)
    joined = torch.cat([tokens, prompt[:, None, None].expand(2, 2, 3, 3, 8)], -1)
    first = F.linear(joined, torch.cat([head.of_tokens.weight, head.of_prompt.weight], 1), head.of_tokens.bias)
    assert torch.allclose(head(prompt, features), head.out(F.gelu(first)), atol=1e-6)


def test_dropout_takes_whole_channels_in_training_alone():
    dims = Dims(2, 64, 64, (2, 3, 3), 8)
    head = DenseHead(dims, 1, 3, 3, dropout=0.5)
    features = random_features(dims, 1)
    assert not torch.equal(head(None, features), head(None, features))
    assert torch.equal(head.eval()(None, features), head(None, features))


def test_outputs_are_float32_under_autocast():
    dims = Dims(4, 64, 64, (2, 2, 2), 8, ((2, 3, 3, 8),))
    features = random_features(dims, 2)
    with torch.autocast("cpu", torch.bfloat16):
        for output in (PromptHead(8, 4)(None, features), DenseHead(dims, 1, 5, 5)(None, features)):
            assert output.dtype == torch.float32
            assert output.isfinite().all()


def test_dense_head_learns_a_map_that_its_tokens_hold():
    torch.manual_seed(0)
    dims = Dims(4, 64, 64, (2, 4, 4), 8, ((2, 4, 4, 8),))
    head = DenseHead(dims, 1, 8, 8, dropout=0)
    features = random_features(dims, 16)
    held = F.layer_norm(features.levels[0], (8,))[..., :1]  # m t h w 1
    target = held.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    errors = []
    for _ in range(60):
        error = F.mse_loss(head(None, features), target)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.1 * errors[0]
