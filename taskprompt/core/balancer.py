"""Balancer: joins the losses of many tasks into one optimizer step."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from taskprompt.core.errors import LayoutError
from taskprompt.core.spec import Spec


@dataclass(frozen=True)
class TaskGradients:
    """The data of one optimizer step that a balance can use, the same on every worker.

    Tasks without a label in the step are absent, not zero. A loss is the mean over the labelled clips of the whole
    step: all its accumulated batches, on all workers. `counts`, `first`, `last` and `generator` are known before the
    forward pass and cost nothing. `losses` and `gradients` state their cost, which arises only if they are used."""

    counts: Mapping[str, int]  # task -> labelled clips in this step
    first: Mapping[str, float]  # task -> its loss in the first step of the run that had its labels
    last: Mapping[str, float]  # task -> its loss in the latest step before this one that had its labels
    generator: torch.Generator  # on the CPU, seeded by the recipe's seed and the step
    measure: Callable[[], Mapping[str, float]] = field(repr=False)  # computes `losses`
    differentiate: Callable[[str], Mapping[str, Tensor]] = field(repr=False)  # computes `gradients`

    @property
    def losses(self) -> Mapping[str, float]:
        """task -> its loss in this step.

        With `accumulate: 1` they come from the forward pass of the training step, without an extra pass. With more,
        the weights are needed before the second batch of the step, so each batch needs one more forward pass, without
        gradients and with the same dropout."""
        return self.measure()

    def gradients(self, part: str) -> Mapping[str, Tensor]:
        """task -> p: the gradient of its loss with respect to the p trained values of a part of the model, flattened.

        A part is the path of a module: 'encoder', 'prompter', 'encoder.blocks.-1' (the last block). Gradients are
        float32, summed over accumulated batches and workers, before clipping. Cost: one backward pass per task, down to
        the part, in addition to that of the training step; memory for one vector per task; with `accumulate` above 1
        also one more forward pass per batch. Raises SpecError for an unknown part, one that the stage freezes, weights
        sharded by FSDP, and a compiled encoder."""
        return self.differentiate(part)


@dataclass(frozen=True)
class LossWeights:
    """The step is the gradient of sum_t weight_t x loss_t, for all parameters of the model.

    A weight may be a scalar tensor with a graph to parameters of the balance. Those parameters then get their exact
    gradient, d total / d weight_t = loss_t, in the same optimizer step."""

    tasks: Mapping[str, float | Tensor]  # task -> weight, of every task in `counts` and no other
    loss: Tensor | None = None  # a scalar of the balance's own parameters, added to the total: a regularizer, say

    def own_loss(self, losses: Mapping[str, float]) -> Tensor | None:
        """The scalar whose gradient the balance's own parameters get; None if it has no trainable part."""
        terms = [w * losses[n] for n, w in self.tasks.items() if isinstance(w, Tensor)]
        terms = [t for t in (*terms, self.loss) if t is not None and t.requires_grad]
        return torch.stack(terms).sum() if terms else None


@dataclass(frozen=True)
class JoinedGradients:
    """The step is the joined gradient for the named parts, and the sum of the losses' gradients for all other
    parameters, such as those of the heads."""

    parts: Mapping[str, Tensor]  # part, as asked for by TaskGradients.gradients -> p, its one gradient


class Balance(nn.Module, ABC):
    """The state of a balancer. One instance is used for all stages of a run, and its state_dict is in every checkpoint.

    State that it keeps between steps must be a parameter or a buffer; a plain attribute is lost when a run is resumed.
    Its parameters are trained by the stage's optimizer, under names that begin with `balance.`."""

    def __init__(self, tasks: Iterable[str]):
        super().__init__()
        self.tasks = tuple(tasks)
        self.first: dict[str, float] = {}  # task -> loss, kept by the training loop
        self.last: dict[str, float] = {}

    @abstractmethod
    def step(self, step: TaskGradients) -> LossWeights | JoinedGradients:
        """Combine the losses of one optimizer step. Called once per step, on every worker, before the forward pass;
        must return the same on every worker, so draw random numbers from `step.generator`."""

    def record(self, losses: Mapping[str, float]) -> None:
        """Store the losses of a finished step."""
        self.first = {**losses, **self.first}
        self.last = {**self.last, **losses}

    def get_extra_state(self) -> Tensor:
        """2 tasks, float64: first and last loss of each task; NaN where there is none."""
        rows = [[known.get(n, math.nan) for n in self.tasks] for known in (self.first, self.last)]
        return torch.tensor(rows, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse of get_extra_state."""
        rows = state.cpu().numpy()
        first, last = ({n: float(v) for n, v in zip(self.tasks, row, strict=True) if v == v} for row in rows)
        self.first, self.last = first, last


class Balancer(Spec):
    """Base of all balancers: the spec; `build` makes the Balance."""

    home: ClassVar[str] = "taskprompt.balancers"
    default_kind: ClassVar[str] = "fixed"

    @abstractmethod
    def build(self, tasks: Iterable[str]) -> Balance:
        """The balance for the recipe's tasks, of which a stage may train some; may have parameters of its own."""


def check_answer(answer: object, balance: Balance, counts: Iterable[str], sizes: Mapping[str, int]) -> None:
    """Raises LayoutError if the result of `balance.step` does not match the tasks that had labels (`counts`), or the
    parts whose gradients it requested (`sizes`: part -> p)."""
    where, names = f"{type(balance).__name__}.step", list(counts)
    if isinstance(answer, LossWeights):
        if set(answer.tasks) != set(names):
            raise LayoutError(
                f"{where} returned weights for {', '.join(answer.tasks) or 'no task'}, expected "
                f"{', '.join(names) or 'none'}: return one for every task in step.counts."
            )
        named = {f"the weight of {n!r}": w for n, w in answer.tasks.items()}
        for name, value in {**named, "the loss": answer.loss}.items():
            if isinstance(value, Tensor) and value.ndim:
                raise LayoutError(f"{where}: {name} has shape {tuple(value.shape)}, expected a scalar.")
    elif isinstance(answer, JoinedGradients):
        for part, joined in answer.parts.items():
            if part not in sizes:
                asked = ", ".join(sizes) or "none"
                raise LayoutError(
                    f"{where} returned a gradient for {part!r}; it asked for {asked}. Call step.gradients({part!r})."
                )
            if joined.shape != (sizes[part],):
                raise LayoutError(
                    f"{where}: the gradient for {part!r} has shape {tuple(joined.shape)}, expected ({sizes[part]},)."
                )
    else:
        raise LayoutError(f"{where} returned {type(answer).__name__}, expected LossWeights or JoinedGradients.")
