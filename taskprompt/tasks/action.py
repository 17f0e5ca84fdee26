"""Action: which of the classes does the clip show?"""

import math
import reprlib

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from taskprompt.core.errors import SampleError, SpecError, nearest
from taskprompt.core.metrics import Metric
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Dims
from taskprompt.nn.heads import PatchHead, PromptHead
from taskprompt.tasks._classes import Classes, read_classes
from taskprompt.tasks._draw import captioned

SURE = 20.0  # a logit whose class has practically all the probability


class Action(Task):
    """One class per clip, by cross-entropy on the summary (PViT eq. 8) or the patches (FTP). Output: m classes."""

    layout = {"index": Array("", "int64")}
    of_video = True
    trivial_name = "majority class"
    supports_mixup = True
    prompts: int = Field(default=0, ge=0, le=100_000)  # prompt tokens it owns; 0: reads the summary, as in the paper
    classes: Classes  # names, the path of a text file with one per line, or their number if labels are numbers
    dropout: float = Field(default=0.5, ge=0, lt=1)  # before the linear layer
    blocks: int = Field(
        default=0, ge=0, le=1000
    )  # transformer blocks on the patches, whose mean is then read (FTP: 2); 0: none
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # label smoothing; training only

    @field_validator("classes")
    @classmethod
    def _read(cls, value):
        return read_classes(value)

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, in the order of the logits."""
        assert isinstance(self.classes, tuple)  # converted by the validator
        return self.classes

    def target(self, label, sample):
        """The class of a name or number. Raises SampleError if it is not in the list."""
        if isinstance(label, np.generic) or (isinstance(label, np.ndarray) and label.ndim == 0):
            label = label.item()
        if isinstance(label, float) and label.is_integer():  # a column of numbers
            label = int(label)
        if isinstance(label, bool) or not isinstance(label, str | int):
            what = f"{type(label).__name__} {reprlib.repr(label)}"
            raise SampleError(f"found {what}, which is not in the list: neither the name of a class nor a number.")
        if isinstance(label, int):
            if not 0 <= label < len(self.names):
                raise SampleError(
                    f"found class number {reprlib.repr(label)}, expected 0 to {len(self.names) - 1}. Correct the label."
                )
            return {"index": np.asarray(label)}
        if label not in self.names:
            raise SampleError(f"class {self._unlisted(label)} Add it to `classes`, or correct the label.")
        return {"index": np.asarray(self.names.index(label))}

    def unlisted(self, values):
        """The values that are not class names."""
        known = set(self.names)
        return {v: self._unlisted(v) for v in values if v not in known}

    def unseen(self, values):
        """The classes that are not among the values."""
        return tuple(n for n in self.names if n not in values)

    def _unlisted(self, label: str) -> str:
        hint = nearest(label[:100], self.names)
        return f"{reprlib.repr(label)} is not in the list of {len(self.names)}{hint}"

    def head(self, dims: Dims) -> nn.Module:
        """-> m classes. Raises SpecError if it has both blocks and prompts."""
        if self.blocks:
            return PatchHead(dims.dim, len(self.names), blocks=self.blocks, dropout=self.dropout)
        return PromptHead(dims.dim, len(self.names), dropout=self.dropout)

    @model_validator(mode="after")
    def _one_reading(self) -> "Action":
        if self.blocks and self.prompts:
            raise SpecError(
                f"found {self.blocks} blocks and {self.prompts} prompts: blocks read only the patches. Remove one."
            )
        return self

    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Cross-entropy, eq. 8."""
        return F.cross_entropy(output, target["index"], reduction="none", label_smoothing=self.label_smoothing)

    def metrics(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """top1, and top5 if there are more than five classes: 1 if the class is among the best, else 0."""
        ranked = output.topk(min(5, len(self.names)), -1).indices == target["index"][:, None]
        found = {"top1": ranked[:, 0].float()}
        return found | {"top5": ranked.any(-1).float()} if len(self.names) > 5 else found

    def merge(self, outputs: Tensor) -> Tensor:
        """v m classes -> m classes: the log of the mean probability, as SlowFast and mmaction2 average test clips."""
        return outputs.log_softmax(-1).logsumexp(0) - math.log(len(outputs))

    def measures(self) -> tuple[Metric, ...]:
        """Top-1 and top-5 accuracy."""
        every = (Metric("top1", "%", "max", title="top-1"), Metric("top5", "%", "max", title="top-5"))
        return every if len(self.names) > 5 else every[:1]

    def trivial(self, target: dict[str, Tensor]) -> Tensor:
        """1 classes: log counts of the classes (plus one half, so that all are finite)."""
        counts = torch.bincount(target["index"], minlength=len(self.names)) + 0.5
        return (counts / counts.sum()).log()[None]

    def perfect(self, target: dict[str, Tensor]) -> Tensor:
        """m classes: all the probability on the correct one."""
        return SURE * F.one_hot(target["index"], len(self.names)).float()

    def picture(self, output: Tensor, video: np.ndarray) -> np.ndarray:
        """The frames with the best class and its confidence at the bottom."""
        best = output.detach().float().softmax(-1).max(-1)
        return captioned(video, f"{self.names[int(best.indices)]} {float(best.values):.0%}")

    def answer(self, output: Tensor) -> list[dict[str, str | float]]:
        """The best five classes: [{label, confidence in 0..1}], best first."""
        best = output.float().softmax(-1).topk(min(5, len(self.names)))
        return [
            {"label": self.names[i], "confidence": round(c, 4)}
            for i, c in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
