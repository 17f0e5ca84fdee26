"""Captions: InfoNCE by hand, equal texts as positives, tokens resampled, and retrieval over a set."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from taskprompt.core.errors import SampleError, SpecError
from taskprompt.core.types import Clip, Dims, Features, Sample
from taskprompt.tasks.caption import Caption, number, resampled
from taskprompt.testing import check_task

DIMS = Dims(4, 16, 16, (2, 2, 2), 8)
SAMPLE = Sample("a", Clip(np.zeros((4, 16, 16, 3), np.uint8), np.arange(4)))


def targets(task, *labels):
    made = [task.target(label, SAMPLE) for label in labels]
    return {k: torch.from_numpy(np.stack([m[k] for m in made])) for k in made[0]}


def caption(text, *vectors):
    return {"text": text, "vectors": np.asarray(vectors)}


def perfect(task, target):
    output = task.perfect(target)
    assert output is not None
    return output


def test_two_clips_by_hand():
    task = Caption(width=2)
    target = targets(task, caption("a", [3, 0]), caption("b", [0, 5]))
    output = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]])  # both clips say "a", with the factor 2
    ways = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    expected = (F.cross_entropy(ways, torch.tensor([0, 1]), reduction="none") + math.log(2)) / 2
    torch.testing.assert_close(task.loss(output, target), expected)


def test_equal_captions_are_positives():
    task = Caption(width=2)
    target = targets(task, caption("A  dog", [1, 0]), caption("a dog", [1, 0]), caption("a cat", [0, 1]))
    assert task.loss(perfect(task, target), target).max() < 1e-6
    others = targets(task, caption("one", [1, 0]), caption("two", [1, 0]), caption("a cat", [0, 1]))
    torch.testing.assert_close(task.loss(perfect(task, others), others)[:2], torch.full((2,), math.log(2)))


def test_numbers_of_texts():
    assert number("A  dog ") == number("a dog") != number("a dog runs")


def test_tokens_are_resampled_to_those_of_the_clip():
    vectors, length = torch.tensor([[[0.0], [1.0], [2.0], [9.0]]]), torch.tensor([3])
    assert resampled(vectors, length, 5).flatten().tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert resampled(vectors, length, 1).flatten().tolist() == [1.0]
    assert resampled(vectors, torch.tensor([1]), 3).flatten().tolist() == [0.0, 0.0, 0.0]


def test_token_by_token_keeps_the_promises_of_a_task():
    task = Caption(width=6, granularity="token", context=5, prompts=3)
    draw = np.random.default_rng(0)
    check_task(task, DIMS, *(caption(str(n), *draw.normal(size=(n, 6))) for n in (2, 5)))


def test_the_factor_is_learned_and_bounded():
    head = Caption(width=4).head(DIMS)
    features = Features(torch.randn(2, 8), torch.randn(2, 2, 2, 2, 8), {})
    torch.testing.assert_close(head(None, features).norm(dim=-1), torch.full((2, 1), 1 / 0.07))
    torch.nn.init.constant_(head.get_parameter("log_scale"), 9.0)
    torch.testing.assert_close(head(None, features).norm(dim=-1), torch.full((2, 1), 100.0))


def test_recall_over_the_set_whatever_the_batches():
    task = Caption(width=8)
    vectors = np.eye(8)
    target = targets(task, *(caption(f"t{i % 6}", vectors[i % 6]) for i in range(8)))  # two texts come twice
    output = perfect(task, target)
    output[5] = output[4]  # clip 5 says what clip 4 does
    meter = task.meter()
    for part in (slice(0, 3), slice(3, 8)):
        meter.update(output[part], {k: v[part] for k, v in target.items()})
    found = {k: float(v) for k, v in meter.compute().items()}
    assert found["v2t_R1"] == pytest.approx(7 / 8)
    assert found["R1_chance"] == pytest.approx((4 * 2 + 4) / 64)
    assert found["t2v_R5"] >= found["t2v_R1"] >= 6 / 8


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("a dog", "labeler of kind text_embedding"),
        (caption("a dog", [1, 2, 3]), "expected n x 2"),
        (caption("a dog", [1, math.nan]), "not finite"),
        (caption("a dog", [1, 2], [3, 4]), "expected at most 1"),
    ],
)
def test_labels_that_cannot_be_used(label, said):
    with pytest.raises(SampleError, match=said):
        Caption(width=2).target(label, SAMPLE)


def test_more_vectors_want_tokens():
    with pytest.raises((SpecError, ValueError), match="granularity: token"):
        Caption.model_validate({"width": 2, "context": 77})
