"""Meters: accumulators of metrics over a whole set, summed over workers by torchmetrics."""
# torchmetrics leaves types out.
# pyright: reportUnknownMemberType=false

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric


class Means(Metric):
    """The mean of each per-sample metric over the samples that have a finite value for it."""

    def __init__(self, metrics: Callable[[Tensor, dict[str, Tensor]], dict[str, Tensor]]):
        super().__init__()
        self.metrics = metrics
        self.names: list[str] = []

    def update(self, output: Tensor, target: dict[str, Tensor]) -> None:
        """m ..., m ...: add the metrics of m samples."""
        for name, value in self.metrics(output, target).items():
            self.expect([name])
            ok = torch.isfinite(value)
            setattr(self, f"{name}_sum", getattr(self, f"{name}_sum") + value[ok].double().sum())
            setattr(self, f"{name}_count", getattr(self, f"{name}_count") + ok.sum())

    def expect(self, names: list[str]) -> None:
        """Create the states of these metrics: a worker without samples must still take part in their reduction."""
        for name in names:
            if name not in self.names:
                self.names.append(name)
                for state in (f"{name}_sum", f"{name}_count"):
                    self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
                    setattr(self, state, getattr(self, state).to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """name -> mean; NaN where no sample had a value."""
        return {n: getattr(self, f"{n}_sum") / getattr(self, f"{n}_count") for n in self.names}
