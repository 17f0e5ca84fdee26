"""Depthwise convolutions of video: both ways forwards, and the way backwards, against torch's own."""

import pytest
import torch

from taskprompt.nn.depthwise import depthwise, sliced, whole

SHAPES = [(2, 4, 6, 5), (1, 1, 4, 4), (2, 3, 2, 1), (1, 2, 1, 7)]  # b t h w: also narrower than the kernel


def parts(shape, channels=3):
    generator = torch.Generator().manual_seed(0)
    made = [
        torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((*shape, channels), (channels, 1, 3, 3, 3))
    ]
    return [x.requires_grad_() for x in made]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_ways_agree_and_so_do_gradients(shape, stride):
    x, weight = parts(shape)
    reference = whole(x, weight, stride)
    torch.testing.assert_close(sliced(x, weight, stride), reference)
    found = depthwise(x, weight, stride)
    torch.testing.assert_close(found, reference)
    dy = torch.randn_like(reference)
    expected = torch.autograd.grad(reference, (x, weight), dy)
    torch.testing.assert_close(torch.autograd.grad(found, (x, weight), dy), expected)


@pytest.mark.parametrize("kept", [0, 1])
def test_one_gradient_alone(kept):
    x, weight = parts(SHAPES[0])
    (x, weight)[1 - kept].requires_grad_(False)
    asked = (x, weight)[kept]
    torch.testing.assert_close(
        torch.autograd.grad(depthwise(x, weight, 2).sum(), asked), torch.autograd.grad(whole(x, weight, 2).sum(), asked)
    )
