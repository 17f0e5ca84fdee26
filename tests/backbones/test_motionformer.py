"""motionformer against its equations in plain loops, its published size, and what it refuses."""

import pytest
import torch
from drawn import drawn
from torch import Tensor
from torch.nn import functional as F
from vit_public import clip_of, draw_video

from taskprompt.backbones.motionformer import Motionformer, TrajectoryAttention
from taskprompt.core.errors import LayoutError, SpecError


def weighted(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """c, n c, n c -> c: softmax(q . k / sqrt(c)) v."""
    return (keys @ q / len(q) ** 0.5).softmax(0) @ values


def slow_patch(attn, q, k, v, at: int, frames: list[list[int]]) -> Tensor:
    """n d each -> d: what the patch `at` becomes before the last layer; `frames` lists the tokens seen in each frame.

    The published code's bias of keys is there, drawn at random."""
    heads = torch.arange(q.shape[1]).chunk(attn.heads)
    gathered = torch.stack([torch.cat([weighted(q[at, h], k[f][:, h], v[f][:, h]) for h in heads]) for f in frames])
    (own,) = (i for i, frame in enumerate(frames) if at in frame)
    query, keys = attn.frame_q(gathered[own]), attn.frame_k(gathered) + torch.randn(q.shape[1])
    values = gathered if attn.frame_v is None else attn.frame_v(gathered)
    return torch.cat([weighted(query[h], keys[:, h], values[:, h]) for h in heads])


def slow_attention(attn, x: Tensor, prefix: int) -> Tensor:
    """One clip's n d -> n d, token by token and head by head."""
    q, k, v = attn.qkv(x).chunk(3, -1)
    frames = [[*range(1, prefix), *f.tolist()] for f in torch.arange(prefix, len(x)).chunk(attn.frames)]
    heads = torch.arange(x.shape[1]).chunk(attn.heads)
    first = [torch.cat([weighted(q[i, h], k[:, h], v[:, h]) for h in heads]) for i in range(prefix)]
    return attn.proj(torch.stack(first + [slow_patch(attn, q, k, v, i, frames) for i in range(prefix, len(x))]))


def slow_encoder(encoder, video: Tensor, prompts: Tensor) -> Tensor:
    """One clip and m d prompts -> all tokens behind the last norm, CLS and prompts first."""
    _, _, i, j, k = encoder.stem.weight.shape
    maps = F.conv3d(video.movedim(-1, 0)[None], encoder.stem.weight, encoder.stem.bias, stride=(i, j, k))[0]
    _, t, h, w = maps.shape
    tokens = [encoder.cls, *prompts]
    for f in range(t):
        for y in range(h):
            tokens += [maps[:, f, y, z] + encoder.place[y, z] + encoder.time[f] for z in range(w)]
    x = torch.stack(tokens)
    for block in encoder.blocks:
        x = x + slow_attention(block.attn, block.norm1(x), 1 + len(prompts))
        x = x + block.mlp(x, block.norm2)
    return encoder.norm(x)


@pytest.mark.parametrize("project_values", [False, True])
@pytest.mark.parametrize("shape", [(4, 32, 32), (6, 16, 48), (2, 32, 16)])
@pytest.mark.parametrize("count", [0, 2])
@torch.no_grad()
def test_equals_its_equations(project_values, shape, count):
    clip = clip_of(*shape)
    encoder = drawn(Motionformer(size="tiny", project_values=project_values).build(clip))
    video, prompts = draw_video(clip, 2), torch.randn(2, count, 128)
    features, out = encoder(video, prompts)
    for b in range(2):
        expected = slow_encoder(encoder, video[b], prompts[b])
        assert expected.abs().max() > 2
        assert (features.summary[b] - expected[0]).abs().max() < 1e-5
        assert (features.patches[b].flatten(0, 2) - expected[1 + count :]).abs().max() < 1e-5
        torch.testing.assert_close(out[b], expected[1 : 1 + count], atol=1e-5, rtol=0)


@torch.no_grad()
def test_full_size_equals_its_equations():
    """B, a block's attention: three of the 1568 patches."""
    attn = drawn(TrajectoryAttention(768, 12, frames=8, project_values=False))
    x = torch.randn(1, 1 + 1568, 768)
    found, (q, k, v) = attn(x, None, 1)[0], attn.qkv(x[0]).chunk(3, -1)
    frames = [f.tolist() for f in torch.arange(1, 1569).chunk(8)]
    for at in (1, 700, 1568):
        assert (attn.proj(slow_patch(attn, q, k, v, at, frames)) - found[at]).abs().max() < 1e-5


def test_nothing_quadratic_is_kept_for_the_backward_pass():
    clip = clip_of(4, 256, 256)  # 2048 patches of 8 x 8
    encoder = Motionformer(size="tiny", patch=(2, 8, 8), project_values=True).build(clip)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        encoder(draw_video(clip), torch.randn(1, 2, 128))
    assert len(kept) > 50
    assert max(kept) < 2048**2 / 3  # the attention of one head


def test_parameter_counts():
    """109.1 M, counted in the public code, which has more: idle values, a stem of images, a head of two layers."""
    with torch.device("meta"):
        encoders = [Motionformer(project_values=p).build(clip_of(16, 224, 224)) for p in (False, True)]
    as_published, as_in_the_paper = (sum(p.numel() for p in e.parameters()) for e in encoders)
    vit = 1_180_416 + 768 + 204 * 768 + 12 * 7_087_872 + 1_536  # stem, CLS, places and times, blocks, norm
    assert as_published == vit + 12 * (2 * 768**2 + 768)
    assert as_in_the_paper == as_published + 12 * (768**2 + 768)
    total = as_in_the_paper + 12 * 768 + 590_592 + 768 + 590_592 + 400 * 769  # with keys' bias and CLS's place
    assert total == 109_144_720


def test_dims():
    dims = Motionformer().dims(clip_of(32, 336, 224))
    assert (dims.grid, dims.dim, dims.widths) == ((16, 21, 14), 768, (768,) * 12)
    assert dims.levels == ((16, 21, 14, 768),) * 3


def test_refuses():
    with pytest.raises(SpecError, match=r"the clip is \(15, 224, 224\).*multiples of the patch \(2, 16, 16\)"):
        Motionformer().dims(clip_of(15, 224, 224))
    with pytest.raises(SpecError, match="expected blocks from 0 to 11, since the backbone has 12"):
        Motionformer(levels=(-1,)).dims(clip_of(16, 224, 224))
    encoder = Motionformer(size="tiny").build(clip_of(4, 32, 32))
    with pytest.raises(LayoutError, match=r"\(4, 32, 32, 3\)"):
        encoder(torch.zeros(1, 4, 16, 32, 3))
