"""The small interface of all engines: questions about pictures in, answers out."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from taskprompt.core.spec import Spec


class Sampling(Spec):
    """How answers are drawn."""

    temperature: float = Field(default=0.0, ge=0)  # 0: the likeliest token each time
    top_p: float = Field(
        default=1.0, gt=0, le=1
    )  # tokens that are drawn from: the likeliest that together have this chance
    seed: int = Field(default=0, ge=0)  # of the draws


@dataclass(frozen=True, slots=True)
class Query:
    """One question about one picture."""

    picture: np.ndarray  # h w 3 uint8
    text: str
    max_tokens: int  # of the answer
    schema: dict[str, Any] | None = None  # JSON schema that the answer follows


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    text: str = ""
    read: int = 0  # tokens of the question, those of its picture too
    written: int = 0  # tokens of the answer
    cut: bool = False  # ended by max_tokens
    error: str = ""  # why there is no answer


Complete = Callable[[Sequence[Query]], list[Reply]]


class Engine(Spec):
    """Base of both. What fails for one query is a reply with an error; what ends the job is raised."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What its answers depend on, as plain JSON."""

    @abstractmethod
    def start(self, sampling: Sampling) -> Complete:
        """Loads the model, or opens the connection."""
