"""Balancer: many losses -> one backward."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from torch import Tensor, nn

from taskprompt.core.spec import Spec


class Balance(nn.Module, ABC):
    """task -> scalar loss; joins them into the gradient of one step."""

    @abstractmethod
    def backward(self, losses: Mapping[str, Tensor], shared: Iterable[Tensor]) -> Tensor:
        """Add gradients to all parameters; returns the total, detached. `shared`: parameters under all tasks."""


class Balancer(Spec):
    """Base of all balancers."""

    home: ClassVar[str] = "taskprompt.balancers"
    default_kind: ClassVar[str] = "fixed"

    @abstractmethod
    def build(self, tasks: Iterable[str]) -> Balance:
        """The balance for the recipe's tasks, of which a stage may train some; may have parameters of its own."""
