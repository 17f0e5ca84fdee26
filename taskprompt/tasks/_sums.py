"""Sums: a meter that sums tensors over batches and workers, and computes its result from the sums.

Import it lazily: torchmetrics takes seconds to import, and data workers do not need it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

Parts = dict[str, Tensor]


class Sums(Metric):
    """`parts(output, target)` gives tensors of these shapes; `result` computes the scalars from their sums."""

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], parts: Callable[..., Parts], result: Callable[[Parts], Parts]
    ):
        super().__init__()
        self.parts, self.result, self.names = parts, result, tuple(shapes)
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: dict[str, Tensor]) -> None:
        """m ..., m ...: add m samples."""
        for name, value in self.parts(output, target).items():
            setattr(self, name, getattr(self, name) + value)

    def compute(self) -> Parts:
        """name -> scalar; NaN if nothing was measured."""
        return self.result({name: getattr(self, name) for name in self.names})
