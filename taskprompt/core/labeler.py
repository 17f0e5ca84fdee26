"""Labeler: makes labels with a model, offline. Its answers go to a label table, which any source may join."""

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
    """What a model made of one clip for one label, and how."""

    value: Any = None  # the label: text, plain JSON, an array, or one in a form of the picture; None where it failed
    error: str = ""  # why there is none
    used: dict[str, Any] | None = None  # tokens read and written, whether it was cut off: facts of this answer


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a clip for one label: all that its answer depends on, beside the clip."""

    label: str
    asked: dict[str, Any]  # plain JSON: model, revision, prompt, sampling


Ask = Callable[[Sequence[Sample], Sequence[Sequence[str]]], list[dict[str, Answer]]]
Given = tuple[int, str, Answer]  # position of the sample, label, answer


class Streamed:
    """An Ask whose answers come one after another: each is in the table when it is there, whatever happens then.

    stream(samples, labels wanted of each) yields lists of answers that have come since the last."""

    def __init__(self, stream: Callable[[Sequence[Sample], Sequence[Sequence[str]]], Iterable[list[Given]]]):
        self.stream = stream

    def __call__(self, samples: Sequence[Sample], wanted: Sequence[Sequence[str]]) -> list[dict[str, Answer]]:
        """All answers together, as any Ask gives them."""
        answers: list[dict[str, Answer]] = [{} for _ in samples]
        for given in self.stream(samples, wanted):
            for i, label, answer in given:
                answers[i][label] = answer
        return answers


def as_they_come(ask: Ask, samples: Sequence[Sample], wanted: Sequence[Sequence[str]]) -> Iterator[list[Given]]:
    """The answers of any Ask: in parts where it streams, else in one."""
    if isinstance(ask, Streamed):
        yield from ask.stream(samples, wanted)
    else:
        found = zip(range(len(samples)), ask(samples, wanted), strict=True)
        yield [(i, label, answer) for i, answers in found for label, answer in answers.items()]


class Labeler(Spec):
    """Base of all labelers."""

    home: ClassVar[str] = "taskprompt.labelers"
    table: str  # folder of the label table that it writes: parquet, a row a clip and label
    sources: tuple[str, ...] | None = None  # of the recipe, held-out ones too; null: all
    batch: int = Field(default=32, ge=1)  # clips that an actor is handed at once
    actors: int = Field(default=1, ge=1)  # processes that hold the model
    cpus: float = Field(default=1.0, ge=0)  # that an actor asks Ray for
    gpus: float = Field(default=0.0, ge=0)  # that an actor asks Ray for; a share of one, such as 0.5, is fine
    python: str | None = None  # the Python of an environment that has the model's packages; null: this one

    @abstractmethod
    def questions(self) -> tuple[Question, ...]:
        """One a label that it makes. Raises SpecError where a file that they depend on cannot be read."""

    def labels(self) -> tuple[str, ...]:
        """The names of the labels that it makes. Raises SpecError as `questions` does."""
        return tuple(question.label for question in self.questions())

    def reads(self) -> tuple[str, ...]:
        """The labels of a clip that its answers depend on."""
        return ()

    def clip(self, clip: ClipSpec) -> ClipSpec | None:
        """What it wants to see of a clip, from what the recipe shows; None: no pixels at all."""
        return clip

    @abstractmethod
    def build(self) -> Ask:
        """On an actor: loads the model, and returns ask(samples, labels wanted of each) -> label -> Answer, each.

        Where answers take long, it returns a Streamed, which gives each as it comes.

        What fails for one sample is an Answer with an error; what it raises ends the job."""
