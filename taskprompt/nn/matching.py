"""Matching of boxes: IoU, Hungarian matching, and average precision. Boxes are cx cy w h, in any common unit."""

import torch
from torch import Tensor

TINY = 1e-9  # keeps a ratio of empty boxes finite


def corners(boxes: Tensor) -> Tensor:
    """... 4 as cx cy w h -> ... 4 as x0 y0 x1 y1."""
    centre, size = boxes.split(2, -1)
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """... 4, ... 4 that broadcast -> IoU in 0..1 and generalised IoU in -1..1 (Rezatofighi 2019, algorithm 1)."""
    a_low, a_high = corners(a).split(2, -1)
    b_low, b_high = corners(b).split(2, -1)
    shared = _area(torch.maximum(a_low, b_low), torch.minimum(a_high, b_high))
    union = _area(a_low, a_high) + _area(b_low, b_high) - shared
    hull = _area(torch.minimum(a_low, b_low), torch.maximum(a_high, b_high))
    iou = shared / union.clamp(min=TINY)
    return iou, iou - (hull - union) / hull.clamp(min=TINY)


def cheapest_pairs(cost: Tensor) -> Tensor:
    """... g p, square -> ... g: for each row its column in the assignment of least total cost (Hungarian)."""
    from scipy.optimize import linear_sum_assignment

    tables = cost.detach().float().flatten(0, -3).nan_to_num(1e6, 1e6, -1e6).cpu().numpy()
    pairs = torch.as_tensor([linear_sum_assignment(t)[1].tolist() for t in tables], device=cost.device)
    return pairs.reshape(cost.shape[:-1])


def hits(iou: Tensor, scores: Tensor, present: Tensor, threshold: float) -> Tensor:
    """f g p, f p, f g bool -> f p bool: which detections are true positives, frame by frame.

    Detections are assigned in the order of their scores, each to the remaining object with the largest IoU; it is a
    true positive if that IoU reaches the threshold (as in COCO)."""
    free, found = present.clone(), torch.zeros_like(scores, dtype=torch.bool)
    frames = torch.arange(len(scores), device=scores.device)
    for best in scores.argsort(dim=-1, descending=True, stable=True).unbind(-1):
        value, at = torch.where(free, iou[frames, :, best], -1).max(-1)
        hit = value >= threshold
        found[frames, best] = hit
        free[frames, at] &= ~hit
    return found


def average_precision(scores: Tensor, hit: Tensor, objects: Tensor | float) -> Tensor:
    """n, n bool, how many objects there are -> the area under the precision envelope over recall (VOC 2010 and later).

    Detections with equal scores are added together, so the result does not depend on their order. NaN without
    objects."""
    order = scores.argsort(descending=True)
    last = scores[order].diff(append=scores.new_tensor([-torch.inf])) != 0  # the last one of each score
    found = hit[order].double().cumsum(0)[last]
    seen = torch.arange(1, len(scores) + 1, device=scores.device)[last]
    envelope = (found / seen).flip(0).cummax(0).values.flip(0)
    gained = found.diff(prepend=found.new_zeros(1)) / objects
    return torch.where(torch.as_tensor(objects, device=scores.device) > 0, (gained * envelope).sum(), torch.nan)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)
