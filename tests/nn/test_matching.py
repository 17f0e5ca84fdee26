import itertools

import pytest
import torch
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from taskprompt.nn.matching import average_precision, cheapest_pairs, corners, hits, overlap


def test_overlap_by_hand():
    whole, left_half = torch.tensor([0.5, 0.5, 1, 1]), torch.tensor([0.25, 0.5, 0.5, 1])
    far = torch.tensor([2.5, 0.5, 1, 1])  # a unit's gap between it and the first; their hull is 3 wide
    assert [v.item() for v in overlap(whole, left_half)] == [0.5, 0.5]
    assert [v.item() for v in overlap(whole, far)] == [0, pytest.approx(-1 / 3)]
    empty = torch.zeros(4)
    assert [v.item() for v in overlap(empty, empty)] == [0, 0]


def test_overlap_is_torchvisions():
    boxes = torch.rand(2, 20, 4, generator=torch.Generator().manual_seed(0)) + 0.05
    a, b = (box_convert(x, "cxcywh", "xyxy") for x in boxes)
    assert torch.allclose(corners(boxes[0]), a)
    iou, generalised = overlap(boxes[0][:, None], boxes[1])
    assert torch.allclose(iou, box_iou(a, b), atol=1e-6)
    assert torch.allclose(generalised, generalized_box_iou(a, b), atol=1e-6)


def test_overlap_of_empty_boxes_has_a_finite_gradient():
    boxes = torch.zeros(3, 4, requires_grad=True)
    sum(v.sum() for v in overlap(boxes, torch.zeros(3, 4))).backward()  # type: ignore[union-attr]
    assert boxes.grad is not None
    assert boxes.grad.isfinite().all()


def test_cheapest_pairs_are_those_found_by_trying_all():
    cost = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pairs = cheapest_pairs(cost)
    assert pairs.shape == (2, 3, 4)
    for table, found in zip(cost.flatten(0, 1), pairs.flatten(0, 1), strict=True):
        best = min(itertools.permutations(range(4)), key=lambda p: sum(table[i, p[i]].item() for i in range(4)))
        assert tuple(found.tolist()) == best


def test_cheapest_pairs_bears_a_diverged_model():
    assert sorted(cheapest_pairs(torch.full((1, 3, 3), torch.nan))[0].tolist()) == [0, 1, 2]


def test_an_object_is_found_once_by_the_detection_of_the_highest_score():
    iou = torch.tensor([[[0.6, 0.9, 0.2], [0.3, 0.7, 0.1]]])  # f g p
    scores, present = torch.tensor([[0.9, 0.8, 0.7]]), torch.tensor([[True, True]])
    # the first takes object 0; the second would rather have it too, but it is gone, and takes object 1 instead
    assert hits(iou, scores, present, 0.5).tolist() == [[True, True, False]]
    assert hits(iou, scores, torch.tensor([[True, False]]), 0.5).tolist() == [[True, False, False]]
    # asked in another order, detection 1 takes object 0 and nothing is left that detection 0 overlaps by half
    assert hits(iou, scores.flip(-1), present, 0.5).tolist() == [[False, True, False]]


def test_average_precision_by_hand():
    scores = torch.tensor([0.5, 0.9, 0.7, 0.8, 0.6])
    hit = torch.tensor([True, True, True, False, False])  # ranked: hit miss hit miss hit
    assert average_precision(scores, hit, 3).item() == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(scores, hit, 4).item() == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)  # one never found
    late = torch.tensor([True, False, True, True, True])  # ranked: miss hit hit hit hit; the envelope is 4 / 5
    assert average_precision(scores, late, 4).item() == pytest.approx(4 / 5)


def test_detections_of_one_score_have_no_order():
    scores, objects = torch.full((4,), 0.3), torch.tensor(2.0)
    for hit in itertools.permutations([True, True, False, False]):
        assert average_precision(scores, torch.tensor(hit), objects).item() == pytest.approx(0.5)


def test_average_precision_of_nothing():
    assert average_precision(torch.zeros(0), torch.zeros(0, dtype=torch.bool), 3).item() == 0
    assert average_precision(torch.ones(2), torch.zeros(2, dtype=torch.bool), 0).isnan()
