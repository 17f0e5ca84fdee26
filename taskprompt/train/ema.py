"""Averaged weights (EMA), sharded like the weights themselves."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from taskprompt.distributed.sharding import local, part_like, whole


class Ema:
    """average <- decay x average + (1 - decay) x weights, after every step; initialised with the weights."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.names = [n for n, _ in model.named_parameters()]
        self.parameters = [p for _, p in model.named_parameters()]
        self.values: list[Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """Update with the weights after a step."""
        weights = [local(p.detach()) for p in self.parameters]
        if not self.values:
            self.values = [w.clone() for w in weights]
        else:
            torch._foreach_lerp_(self.values, weights, 1 - self.decay)  # type: ignore[attr-defined]

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load saved averages, unsharded."""
        pairs = zip(self.names, self.parameters, strict=True)
        self.values = [local(part_like(tensors[n].to(p.device), p)).clone() for n, p in pairs]

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's full state with averages in place of weights. A collective call."""
        state = {n: whole(v) for n, v in model.state_dict().items()}
        for name, parameter, value in zip(self.names, self.parameters, self.values, strict=True):
            state[name] = whole(value, parameter)
        return state
