"""Boxes: where are the objects, frame by frame?"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from taskprompt.core.errors import SampleError
from taskprompt.core.metrics import Metric
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Dims
from taskprompt.nn.heads import PromptHead
from taskprompt.nn.matching import cheapest_pairs, corners, overlap
from taskprompt.tasks._draw import Path, colours, lines
from taskprompt.tasks._labels import numbers
from taskprompt.tasks._maps import clip_figure, clip_mean

SURE = 20.0  # a logit whose probability is practically 0 or 1


class Boxes(Task):
    """A fixed number of boxes per frame by L1 and generalised IoU (PViT eq. 7). Output: m frames slots 5, logits.

    After a sigmoid they are cx cy w h relative to the frame's size, and the probability that the slot has an object.
    The last is not in the paper, whose clips all show the same number of objects; if the number varies, a box needs a
    score. Slots without an object contribute only to the loss of the score."""

    layout = {"boxes": Array("frames slots 4"), "seen": Array("frames slots")}  # cx cy w h in 0..1; 1 or 0
    trivial_name = "mean boxes"
    slots: int = Field(default=4, ge=1, le=10_000)  # boxes per frame; further objects are ignored
    match: Literal["order", "hungarian"] = "order"  # slot i is the label's object i; or Hungarian matching per frame
    threshold: float = Field(default=0.5, ge=0, le=1)  # smallest score of a box in pictures and answers
    dropout: float = Field(default=0.0, ge=0, lt=1)  # of the prompt

    def target(self, label, sample):
        """t o 4 as x0 y0 x1 y1 in pixels, NaN if absent, clipped to the frame. Raises SampleError for another shape.

        With match: order, the label's first `slots` objects; otherwise the first `slots` visible ones per frame."""
        frames, height, width = sample.clip.video.shape[:3]
        boxes = numbers(label, "x0 y0 x1 y1 of every object per frame").astype(np.float32)
        if boxes.ndim != 3 or boxes.shape[::2] != (frames, 4):
            raise SampleError(
                f"the boxes have shape {boxes.shape}, expected ({frames}, objects, 4): x0 y0 x1 y1 of every object per "
                "frame, in pixels. Give a row of NaN where an object is not visible."
            )
        low, high = (np.clip(boxes[..., i : i + 2] / (width, height), 0, 1) for i in (0, 2))
        present = np.all(high > low, -1, keepdims=True)  # False for NaN
        values = np.where(present, np.concatenate([(low + high) / 2, high - low], -1), 0)
        if self.match == "hungarian":
            first = np.argsort(~present, axis=1, kind="stable")
            values, present = np.take_along_axis(values, first, 1), np.take_along_axis(present, first, 1)
        room = ((0, 0), (0, max(0, self.slots - boxes.shape[1])), (0, 0))
        values, present = (np.pad(x[:, : self.slots], room) for x in (values, present))
        return {"boxes": values, "seen": present[..., 0]}

    def head(self, dims: Dims) -> nn.Module:
        """-> m frames slots 5."""
        return PromptHead(dims.dim, dims.frames, self.slots, 5, dropout=self.dropout)

    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """L1 (summed over cx cy w h) + 1 - GIoU, averaged over objects, eq. 7; + cross-entropy of the score."""
        output, present = self._paired(output, target), target["seen"]
        found = output[..., :4].sigmoid()
        apart = (found - target["boxes"]).abs().sum(-1) + 1 - overlap(found, target["boxes"])[1]
        held = F.binary_cross_entropy_with_logits(output[..., 4], present, reduction="none")
        return clip_mean(apart, present > 0) + held.flatten(1).mean(1)

    def metrics(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """mean_IoU: over the objects of the clip, each with the box of its slot (or its matched box)."""
        found = self._paired(output, target)[..., :4].sigmoid()
        return {"mean_IoU": clip_figure(overlap(found, target["boxes"])[0], target["seen"] > 0)}

    def measures(self) -> tuple[Metric, ...]:
        """Over all objects, and over all boxes, of the set."""
        return Metric("mean_IoU", "%", "max", over="set"), Metric("AP50", "%", "max", over="set")

    def meter(self):
        """mean_IoU over all objects, and class-agnostic AP50: every slot is a detection, ranked by its score."""
        from taskprompt.tasks._box_meter import (
            BoxMeter,
        )

        return BoxMeter(self._read)

    def trivial(self, target: dict[str, Tensor]) -> Tensor:
        """1 frames slots 5: the mean box and frequency of every slot and frame (mean over all, if it was never
        seen)."""
        present = target["seen"].unsqueeze(-1)
        count = present.sum(0, keepdim=True)
        everywhere = (target["boxes"] * present).sum((0, 1, 2)) / present.sum().clamp(min=1)
        mean = torch.where(count > 0, (target["boxes"] * present).sum(0, keepdim=True) / count.clamp(min=1), everywhere)
        return torch.cat([mean.logit(1e-6), (count / len(present)).logit(1e-4)], -1)

    def perfect(self, target: dict[str, Tensor]) -> Tensor:
        """m frames slots 5: the boxes, to 1e-6 of the frame."""
        return torch.cat([target["boxes"].logit(1e-6), SURE * (2 * target["seen"].unsqueeze(-1) - 1)], -1)

    def picture(self, output: Tensor, video: np.ndarray) -> np.ndarray:
        """The frames with the boxes of all slots with an object, one colour per slot."""
        return np.stack(
            [lines(f, self._outlines(found, f)) for f, found in zip(video, self.answer(output), strict=True)]
        )

    def answer(self, output: Tensor) -> list[list[dict]]:
        """One list per frame: {slot, box x0 y0 x1 y1 relative to the frame's size, confidence} of every object."""
        chance = output[..., 4].sigmoid().tolist()
        boxes = corners(output[..., :4].sigmoid()).clamp(0, 1).tolist()
        return [
            [
                {"slot": i, "box": [round(v, 4) for v in box], "confidence": round(c, 4)}
                for i, (box, c) in enumerate(zip(frame, chances, strict=True))
                if c >= self.threshold
            ]
            for frame, chances in zip(boxes, chance, strict=True)
        ]

    def _outlines(self, found: list[dict], frame: np.ndarray) -> Iterator[Path]:
        height, width = frame.shape[:2]
        for box in found:
            x0, y0, x1, y1 = np.multiply(box["box"], (width, height, width, height)).tolist()
            yield ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)), colours(self.slots)[box["slot"]]

    def _paired(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """m frames slots 5 -> the same in the order of the target's slots."""
        if self.match == "order":
            return output
        with torch.no_grad():
            found, true = output[..., None, :, :4].sigmoid(), target["boxes"].unsqueeze(-2)
            cost = (found - true).abs().sum(-1) - overlap(found, true)[1] - output[..., None, :, 4].sigmoid()
            pairs = cheapest_pairs(cost * target["seen"].unsqueeze(-1))  # m frames slots
        return output.gather(2, pairs[..., None].expand_as(output))

    def _read(self, output: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        paired = self._paired(output, target)[..., :4].sigmoid()
        iou = overlap(paired, target["boxes"])[0]
        parts = (output[..., :4].sigmoid(), output[..., 4].sigmoid(), target["boxes"], target["seen"] > 0, iou)
        return tuple(p.flatten(0, 1) for p in parts)
