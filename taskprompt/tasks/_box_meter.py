"""The meter of boxes: mean IoU of the visible objects, and AP50 over all boxes of the set.

Import it lazily: torchmetrics takes seconds to import, and data workers do not need it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from taskprompt.nn.matching import average_precision, hits, overlap


class BoxMeter(Metric):
    """`read(output, target)` -> found boxes f p 4, scores f p, true boxes f g 4, present f g, IoU of pairs f g."""

    scores: list[Tensor] | Tensor
    hits: list[Tensor] | Tensor
    objects: Tensor
    iou: Tensor

    def __init__(self, read: Callable[[Tensor, dict[str, Tensor]], tuple[Tensor, ...]]):
        super().__init__()
        self.read = read
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("hits", [], dist_reduce_fx="cat")
        self.add_state("objects", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("iou", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: dict[str, Tensor]) -> None:
        """m ..., m ...: add m samples."""
        found, scores, true, present, paired = self.read(output, target)
        iou = overlap(true[:, :, None], found[:, None])[0]
        assert isinstance(self.scores, list)  # a list until the reduction
        assert isinstance(self.hits, list)
        self.scores.append(scores.flatten())
        self.hits.append(
            hits(iou, scores, present, 0.5).flatten().float()
        )  # a worker without samples must send float32 too
        self.objects = self.objects + present.sum()
        self.iou = self.iou + torch.where(present, paired, 0).double().sum()

    def compute(self) -> dict[str, Tensor]:
        """mean_IoU in 0..1 over the objects and AP50 in 0..1; NaN without objects."""
        scores, found = (dim_zero_cat(x) if len(x) else self.iou.new_zeros(0) for x in (self.scores, self.hits))
        precision = average_precision(scores, found > 0, self.objects)
        return {"mean_IoU": self.iou / self.objects, "AP50": precision}
