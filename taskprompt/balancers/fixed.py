"""fixed: a weighted sum of the tasks' losses."""

from collections.abc import Iterable, Mapping

from pydantic import field_validator

from taskprompt.core.balancer import Balance, Balancer, LossWeights, TaskGradients
from taskprompt.core.errors import SpecError, nearest


class Fixed(Balancer):
    """Weighted sum of the losses with constant weights (PViT eq. 9)."""

    weights: dict[str, float] = {}  # task -> weight; default 1; null removes a weight

    @field_validator("weights", mode="before")
    @classmethod
    def _without_nulls(cls, value):
        return {n: w for n, w in value.items() if w is not None} if isinstance(value, dict) else value

    @field_validator("weights")
    @classmethod
    def _not_below_zero(cls, value):
        for name, weight in value.items():
            if weight < 0:
                raise SpecError(f"found {weight:g} for {name!r}, expected 0 or more: losses are minimised.")
        return value

    def build(self, tasks: Iterable[str]) -> Balance:
        """Raises SpecError for a weight of an unknown task."""
        known = list(tasks)
        for name in self.weights:
            if name not in known:
                raise SpecError(
                    f"balancer.weights: {name!r} is not a task{nearest(name, known)} "
                    f"Known: {', '.join(known) or 'none'}. Rename or remove the weight."
                )
        return Constant(known, self.weights)


class Constant(Balance):
    """The same weights in every step."""

    def __init__(self, tasks: Iterable[str], weights: Mapping[str, float]):
        super().__init__(tasks)
        self.weights = dict(weights)

    def step(self, step: TaskGradients) -> LossWeights:
        """The weight of every task that has labels."""
        return LossWeights({name: self.weights.get(name, 1.0) for name in step.counts})
