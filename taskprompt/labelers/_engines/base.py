"""The interface of engines: questions about images in, answers out."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from taskprompt.core.spec import Spec


class Sampling(Spec):
    """Sampling of answers."""

    temperature: float = Field(default=0.0, ge=0)  # 0: greedy decoding
    top_p: float = Field(default=1.0, gt=0, le=1)  # nucleus sampling: total probability of the tokens
    seed: int = Field(default=0, ge=0)  # of sampling


@dataclass(frozen=True, slots=True)
class Query:
    """One question about one image."""

    picture: np.ndarray  # h w 3 uint8
    text: str
    max_tokens: int  # of the answer
    schema: dict[str, Any] | None = None  # JSON schema that the answer follows


@dataclass(frozen=True, slots=True)
class Reply:
    """The raw reply of the model or its server; `_answers` converts it to an answer."""

    text: str = ""
    reasoning: str = ""  # if it is separate from the text
    refusal: str = ""  # if it is separate from the text
    read: int = 0  # tokens of the question, including its image
    written: int = 0  # tokens of the answer
    finish: str = "stop"  # the engine's finish reason
    error: str = ""  # why there is no reply


Complete = Callable[
    [Sequence[Query]], Iterator[list[tuple[int, Reply]]]
]  # (position of the query, reply), in order of arrival


class Engine(Spec):
    """Base class of engines. A failure of one query is a reply with an error; an exception ends the job."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything that its answers depend on, as plain JSON."""

    @abstractmethod
    def start(self, sampling: Sampling) -> Complete:
        """Load the model, or open the connection."""


def parameters_of(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """A request's parameters: our defaults, overridden by those of the recipe; null removes one."""
    return {name: value for name, value in (ours | theirs).items() if value is not None}
