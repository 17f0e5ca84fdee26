"""Labeler: makes labels with a model, offline. Its answers are written to a label table, which any source may join."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from taskprompt.core.clip import ClipSpec
from taskprompt.core.spec import Spec
from taskprompt.core.types import Sample


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer for one clip and label."""

    value: Any = None  # the label: text, plain JSON, an array, or a spatial label; None if it failed
    error: str = ""  # why there is none
    used: dict[str, Any] | None = None  # usage: tokens read and written, whether the answer was truncated


@dataclass(frozen=True, slots=True)
class Question:
    """A question for one label: everything that the answer depends on apart from the clip."""

    label: str
    asked: dict[str, Any]  # plain JSON: model, revision, prompt, sampling


Ask = Callable[[Sequence[Sample], Sequence[Sequence[str]]], list[dict[str, Answer]]]
Given = tuple[int, str, Answer]  # position of the sample, label, answer


class Streamed:
    """An Ask whose answers arrive one after another; each is written to the table at once.

    stream(samples, labels wanted of each) yields lists of the answers that arrived since the last."""

    def __init__(self, stream: Callable[[Sequence[Sample], Sequence[Sequence[str]]], Iterable[list[Given]]]):
        self.stream = stream

    def __call__(self, samples: Sequence[Sample], wanted: Sequence[Sequence[str]]) -> list[dict[str, Answer]]:
        """All answers together, like any Ask."""
        answers: list[dict[str, Answer]] = [{} for _ in samples]
        for given in self.stream(samples, wanted):
            for i, label, answer in given:
                answers[i][label] = answer
        return answers


def as_they_come(ask: Ask, samples: Sequence[Sample], wanted: Sequence[Sequence[str]]) -> Iterator[list[Given]]:
    """The answers of any Ask: in several parts if it streams, else in one."""
    if isinstance(ask, Streamed):
        yield from ask.stream(samples, wanted)
    else:
        found = zip(range(len(samples)), ask(samples, wanted), strict=True)
        yield [(i, label, answer) for i, answers in found for label, answer in answers.items()]


class Labeler(Spec):
    """Base class of labelers."""

    home: ClassVar[str] = "taskprompt.labelers"
    table: str  # folder of the label table that it writes: parquet, one row per clip and label
    sources: tuple[str, ...] | None = None  # sources to label, held-out ones included; null: all
    batch: int = Field(default=32, ge=1)  # clips that are passed to an actor at once
    actors: int = Field(default=1, ge=1)  # processes that hold the model
    cpus: float = Field(default=1.0, ge=0)  # CPUs per actor
    gpus: float = Field(default=0.0, ge=0)  # GPUs per actor; may be a fraction, such as 0.5
    python: str | None = None  # Python of another environment with the model's packages; null: this one

    @abstractmethod
    def questions(self) -> tuple[Question, ...]:
        """One per label that it makes. Raises SpecError if a file that they depend on cannot be read."""

    def labels(self) -> tuple[str, ...]:
        """The names of the labels that it makes. Raises SpecError as `questions` does."""
        return tuple(question.label for question in self.questions())

    def reads(self) -> tuple[str, ...]:
        """The labels of a clip that its answers depend on."""
        return ()

    def clip(self, clip: ClipSpec) -> ClipSpec | None:
        """The shape of the clips that it reads, given the recipe's; None: it reads no pixels."""
        return clip

    @abstractmethod
    def build(self) -> Ask:
        """In an actor: load the model, and return ask(samples, labels wanted of each) -> label -> Answer, each.

        If answers are slow, return a Streamed, which gives each as it arrives.

        A failure for one sample is an Answer with an error; an exception ends the job."""
