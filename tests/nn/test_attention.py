"""Attention and relative positions against sums written out."""

import torch
from torch import nn

from taskprompt.nn.attention import Attention
from taskprompt.nn.blocks import call, drop_path, paper_levels
from taskprompt.nn.positions import RelativePositions, distances, one_hot_positions


def test_attention_by_hand():
    """Width 1, one head, q = k = v = x: token i becomes the mean of x weighted by exp(x_i x_j)."""
    attention = Attention(1, 1)
    for linear, weight in ((attention.qkv, [[1.0], [1.0], [1.0]]), (attention.proj, [[2.0]])):
        linear.weight.data, linear.bias.data = torch.tensor(weight), torch.zeros(len(weight))
    x = torch.tensor([0.0, 1.0])
    # Token 0: equal weights, 0.5. Token 1: e / (1 + e) = 0.731059. Both doubled by the last layer.
    torch.testing.assert_close(attention(x[None, :, None])[0, :, 0], torch.tensor([1.0, 1.462117]))


def test_heads_do_not_mix():
    attention = Attention(4, 2)
    attention.proj.weight.data, attention.proj.bias.data = torch.eye(4), torch.zeros(4)
    x = torch.randn(1, 5, 4)
    before = attention(x)
    attention.qkv.weight.data.view(3, 2, 2, 4)[:, 1] += 1
    after = attention(x)
    torch.testing.assert_close(after[..., :2], before[..., :2])
    assert (after[..., 2:] - before[..., 2:]).abs().max() > 1e-3


def test_distances():
    assert distances(3, 3).tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    assert distances(4, 2).tolist() == [[2, 0], [3, 1], [4, 2], [5, 3]]  # a key is two queries wide
    assert distances(2, 4).tolist() == [[3, 2, 1, 0], [5, 4, 3, 2]]


def test_relative_positions_are_a_bias():
    """The extended product is q . k plus q . R of the distance on each axis, pair by pair."""
    torch.manual_seed(0)
    grid, keys_grid, dim = (2, 4, 3), (2, 2, 3), 4
    positions = RelativePositions(grid, keys_grid, dim)
    q, k = torch.randn(1, *grid, 2, dim), torch.randn(12, dim)
    logits = positions.extend(q) @ torch.cat([k, positions.columns], -1).T
    for t, h, w, g, j in [(0, 0, 0, 0, 0), (1, 3, 2, 1, 11), (0, 2, 1, 1, 7), (1, 1, 0, 0, 4)]:
        kt, kh, kw = j // 6, j // 3 % 2, j % 3
        table = positions.t[t - kt + 1] + positions.h[h - 2 * kh + 2] + positions.w[w - kw + 2]
        expected = q[0, t, h, w, g] @ (k[j] + table)
        torch.testing.assert_close(logits[0, t, h, w, g, j], expected)


def test_one_hot_positions():
    columns = one_hot_positions((2, 2, 3))
    assert columns.shape == (12, 8)  # 7 columns and a spare one
    assert columns[11].tolist() == [0, 1, 0, 1, 0, 0, 1, 0]
    assert (columns.sum(1) == 3).all()


def test_drop_path_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(4000, 3)
    y = drop_path(x, 0.25, True)
    torch.testing.assert_close(y.unique(), torch.tensor([0, 4 / 3]))
    assert (y == y[:, :1]).all()
    assert abs(y.mean() - 1) < 0.03
    assert drop_path(x, 0.25, False) is x


def test_checkpointed_call_runs_again_in_backward():
    runs = []

    class Exp(nn.Module):
        def forward(self, x):
            runs.append(len(x))
            return x.exp()

    for checkpointing, expected in ((False, 1), (True, 2)):
        runs.clear()
        x = torch.zeros(3, requires_grad=True)
        call(Exp(), x, checkpointing=checkpointing).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [1, 1, 1]
        assert len(runs) == expected


def test_paper_levels():
    assert paper_levels(16) == (2, 12, 15)
    assert paper_levels(24) == (3, 19, 23)
    assert paper_levels(5) == (0, 3, 4)
