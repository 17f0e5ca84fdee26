"""The small interface of all engines: questions about pictures in, answers out."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from taskprompt.core.spec import Spec


class Sampling(Spec):
    """How answers are drawn."""

    temperature: float = Field(default=0.0, ge=0)  # 0: the likeliest token each time
    top_p: float = Field(default=1.0, gt=0, le=1)  # drawn from the likeliest tokens that have this chance together
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
    """What came back, as the model or its server gave it; `_answers` makes an answer of it."""

    text: str = ""
    reasoning: str = ""  # where it is given apart from the text
    refusal: str = ""  # the same
    read: int = 0  # tokens of the question, those of its picture too
    written: int = 0  # tokens of the answer
    finish: str = "stop"  # why it ended, in the engine's own word
    error: str = ""  # why there is nothing


Complete = Callable[
    [Sequence[Query]], Iterator[list[tuple[int, Reply]]]
]  # (position of the query, reply), as they come


class Engine(Spec):
    """Base of both. What fails for one query is a reply with an error; what ends the job is raised."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What its answers depend on, as plain JSON."""

    @abstractmethod
    def start(self, sampling: Sampling) -> Complete:
        """Loads the model, or opens the connection."""


def parameters_of(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """A request's parameters: ours, changed by those of the recipe; null leaves one out."""
    return {name: value for name, value in (ours | theirs).items() if value is not None}
