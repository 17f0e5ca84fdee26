"""Sums: a meter whose parts add up over batches and workers, and whose result is taken at the end.

Import it where a meter is made: torchmetrics takes seconds to import, and workers that prepare data never measure."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

Parts = dict[str, Tensor]


class Sums(Metric):
    """`parts(output, target)` gives tensors of the shapes named; their sums go to `result`, which gives the scalars."""

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
        """name -> scalar; NaN where nothing was measured."""
        return self.result({name: getattr(self, name) for name in self.names})
