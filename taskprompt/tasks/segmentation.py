"""Segmentation: which class does each pixel belong to, frame by frame?"""

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from taskprompt.core.errors import SampleError, SpecError
from taskprompt.core.metrics import Metric
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Dims
from taskprompt.nn.heads import DenseHead
from taskprompt.tasks._classes import Classes, read_classes
from taskprompt.tasks._draw import regions
from taskprompt.tasks._maps import checked_map, clip_figure, clip_mean, nearest_pixels

UNKNOWN = 255  # the class of a pixel without a label
SURE = 20.0  # a logit whose class has practically all the probability


class Segmentation(Task):
    """One class per pixel by cross-entropy (PViT eq. 5). Output: m frames height width classes, logits.

    Pixels of class 255 are unknown and ignored."""

    layout = {"index": Array("frames height width", "uint8")}
    trivial_name = "commonest class of each pixel"
    classes: Classes  # names, the path of a text file with one per line, or their number
    height: int = Field(default=28, ge=1, le=16_384)  # of the map; the label is downsampled to it, nearest pixel
    width: int = Field(default=28, ge=1, le=16_384)  # of the map
    dropout: float = Field(default=0.1, ge=0, lt=1)  # of the upsampled tokens

    @field_validator("classes")
    @classmethod
    def _read(cls, value):
        names = read_classes(value)
        if len(names) > UNKNOWN:
            raise SpecError(
                f"found {len(names)} classes, expected at most {UNKNOWN}: a map holds bytes, {UNKNOWN} unknown."
            )
        return names

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, in the order of the logits."""
        assert isinstance(self.classes, tuple)  # converted by the validator
        return self.classes

    def target(self, label, sample):
        """t h w -> frames height width; NaN also means unknown.

        Raises SampleError for a wrong shape, or an invalid class: out of range, or not an integer."""
        index = nearest_pixels(checked_map(label, sample), self.height, self.width)
        if index.dtype.kind == "f":
            index = np.where(np.isnan(index), UNKNOWN, index)
        whole = (index >= 0) & (index < len(self.names)) & (index == np.floor(index))
        strange = index[(index != UNKNOWN) & ~whole]
        if strange.size:
            raise SampleError(
                f"the map has class {strange[0]:g}, expected 0 to {len(self.names) - 1}, or {UNKNOWN} (NaN) for "
                "unknown. Correct the map, set `invalid` of the label file, or name more `classes`."
            )
        return {"index": index.astype(np.uint8)}

    def head(self, dims: Dims) -> nn.Module:
        """-> m frames height width classes."""
        return DenseHead(dims, len(self.names), self.height, self.width, dropout=self.dropout)

    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy over known pixels, eq. 5."""
        index = target["index"].long()
        each = F.cross_entropy(output.flatten(0, -2), index.flatten(), ignore_index=UNKNOWN, reduction="none")
        return clip_mean(each.view_as(index), index != UNKNOWN)

    def metrics(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """mIoU over the classes in the label or the prediction, and the share of correct pixels."""
        matrices = [_confusion(o[None], t[None]) for o, t in zip(output, target["index"], strict=True)]
        right = output.argmax(-1) == target["index"]
        mean_iou = torch.stack([_mean_iou(m) for m in matrices]).to(output.dtype)
        return {"mIoU": mean_iou, "pixel_accuracy": clip_figure(right.float(), target["index"] != UNKNOWN)}

    def measures(self) -> tuple[Metric, ...]:
        """Over all pixels of the set."""
        return Metric("mIoU", "%", "max", over="set"), Metric("pixel_accuracy", "%", "max", over="set")

    def meter(self):
        """The same from one confusion matrix of the whole set."""
        from taskprompt.tasks._sums import Sums

        return Sums({"confusion": (len(self.names), len(self.names))}, _sums, _figures)

    def trivial(self, target: dict[str, Tensor]) -> Tensor:
        """1 frames height width classes: log counts of the classes at each pixel (plus one half)."""
        counts = torch.stack([(target["index"] == c).sum(0) for c in range(len(self.names))], -1) + 0.5
        return (counts / counts.sum(-1, keepdim=True)).log()[None]

    def perfect(self, target: dict[str, Tensor]) -> Tensor:
        """m frames height width classes: all the probability on the correct class, NaN where unknown."""
        index = target["index"].long()
        known = (index != UNKNOWN)[..., None]
        return torch.where(known, SURE * F.one_hot(index.clamp(max=len(self.names) - 1), len(self.names)), torch.nan)

    def picture(self, output: Tensor, video: np.ndarray) -> np.ndarray:
        """One colour a class."""
        return regions(torch.where(output.isnan().any(-1), UNKNOWN, output.argmax(-1)), video.shape[1:3])

    def answer(self, output: Tensor) -> dict[str, float]:
        """The share of all pixels of each predicted class, in 0..1."""
        shares = torch.bincount(output.argmax(-1).flatten(), minlength=len(self.names)) / output[..., 0].numel()
        return {n: round(s, 4) for n, s in zip(self.names, shares.tolist(), strict=True) if s > 0}


def _confusion(output: Tensor, index: Tensor) -> Tensor:
    """m t h w c, m t h w -> c c: the number of pixels of class (row) that are predicted as class (column)."""
    classes, known = output.shape[-1], index != UNKNOWN
    pairs = index[known].long() * classes + output.argmax(-1)[known]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def _mean_iou(confusion: Tensor) -> Tensor:
    """c c -> the mean IoU over the classes in labels or predictions; NaN if there is none."""
    both = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - both
    return (both / union)[union > 0].mean()


def _sums(output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"confusion": _confusion(output, target["index"])}


def _figures(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    confusion = sums["confusion"]
    return {"mIoU": _mean_iou(confusion), "pixel_accuracy": confusion.trace() / confusion.sum()}
