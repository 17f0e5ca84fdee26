"""A compiler takes every backbone whole, in one graph, and nothing that it gives changes."""

import pytest
import torch
from encoders import CASES, passed, small


@pytest.mark.parametrize("kind", CASES)
def test_one_graph_and_the_same_outputs_and_gradients(kind):
    encoder, video, prompts = small(kind)
    expected = passed(encoder, video, prompts)
    encoder.compile(backend="aot_eager", fullgraph=True)
    found = passed(encoder, video, prompts)
    assert len(expected) > 10
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
