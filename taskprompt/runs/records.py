"""Schemas of a run's json files: each line and file is validated when it is read, since it may be damaged by a crash, a
full disk or manual edits."""

import math
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from taskprompt.core.errors import CheckpointError
from taskprompt.core.files import parse_json

MOST = 2**53  # largest count; the limit of exact integers in a float
SPREAD = 1 << 24  # indices that one worker can be ahead of another, because of skipped clips
LARGE = 1e39  # largest number: above float32, and below overflow in plots


def _drawable(value: float) -> float:
    if math.isfinite(value) and abs(value) > LARGE:
        raise ValueError(f"{value} is larger than any float32 number")
    return value


Count = Annotated[int, Field(ge=0, le=MOST)]
Number = Annotated[float, AfterValidator(_drawable)]


class Record(BaseModel):
    """Base class: numbers must not be text or bool; additional fields are kept."""

    model_config = ConfigDict(strict=True, extra="allow")


class StepRecord(Record):
    """A line of metrics.jsonl: one optimizer step; additionally loss/<task> for the tasks that had a label."""

    __pydantic_extra__: dict[str, Number]  # type: ignore[misc]
    step: Annotated[Count, Field(ge=1)]
    stage: Count = 0
    loss: Number = 0.0
    lr: Annotated[Number, Field(ge=0)] = 0.0
    clips_per_s: Annotated[Number, Field(ge=0)]  # 0 at the first step of a job


class HeldOutRecord(Record):
    """A line of held_out.jsonl: source/task/metric -> value."""

    __pydantic_extra__: dict[str, Number]  # type: ignore[misc]
    step: Count


class ClipsRecord(Record):
    """A line of clips.jsonl: source -> keys of the clips of one step."""

    step: Count
    clips: dict[str, list[str]]


class SkippedRecord(Record):
    """A line of skipped.jsonl."""

    source: str
    key: str
    reason: str


class WarningRecord(Record):
    """A line of warnings.jsonl: a problem that did not stop the run."""

    step: Count
    text: str


class EventRecord(Record):
    """A line of a sweep's journal.jsonl."""

    event: Literal["begin", "again", "report", "end"]
    trial: Count
    values: dict[str, JsonValue] = {}
    step: Count = 0
    value: Number = 0.0
    seconds: Annotated[Number, Field(ge=0)] = 0.0
    last: bool = False
    state: Literal["running", "done", "stopped", "failed"] = "running"
    error: str = ""


class StreamState(Record):
    """The position of a source, in state.json."""

    left: list[Count]
    start: Count
    cursors: list[Count] = Field(min_length=1)  # next index of each worker, of rank, rank + workers, ...

    @model_validator(mode="after")
    def _dealt(self):
        workers = len(self.cursors)
        if any(c % workers != r for r, c in enumerate(self.cursors)) or max(self.cursors) - min(self.cursors) > SPREAD:
            raise ValueError(f"the cursors {self.cursors} are not those of {workers} workers")
        return self


class State(Record):
    """state.json of a checkpoint."""

    total: Count  # completed optimizer steps, over all stages
    sources: dict[str, StreamState] = {}
    score: float | None = None  # of the recipe's `best`
    metric: str = ""  # of the score
    groups: list[str] = []  # names of the tensor files


class MetricRecord(Record):
    """A metric without its name, in evaluation.json and a sweep's metric.json."""

    unit: str
    better: Literal["max", "min"] | None
    over: Literal["clip", "set"]
    title: str


class TaskResult(Record):
    """One task on one source, in evaluation.json."""

    kind: str
    clips: Count
    metrics: dict[str, Number] = {}
    interval: dict[str, Annotated[list[Number], Field(min_length=2, max_length=2)]] = {}
    trivial: dict[str, Number] = {}
    trivial_name: str = ""
    measures: dict[str, MetricRecord] = {}

    @model_validator(mode="after")
    def _told(self):
        if missing := sorted(self.metrics.keys() - self.measures.keys()):
            raise ValueError(f"measures lacks {missing[0]!r}")
        return self


class SourceResult(Record):
    """One source, in evaluation.json."""

    rows: Count
    skipped: dict[str, str]
    tasks: dict[str, TaskResult]


class Evaluation(Record):
    """evaluation.json."""

    checkpoint: str
    test_clips: Annotated[int, Field(ge=1)] = 1
    sources: dict[str, SourceResult]


LINES: dict[str, type[Record]] = {
    "metrics.jsonl": StepRecord,
    "held_out.jsonl": HeldOutRecord,
    "clips.jsonl": ClipsRecord,
    "skipped.jsonl": SkippedRecord,
    "warnings.jsonl": WarningRecord,
    "journal.jsonl": EventRecord,
}


def checked(text: bytes, kind: type[Record]) -> dict[str, Any]:
    """Json text, validated as this kind. Raises ValueError, in one line."""
    data = parse_json(text)
    try:
        kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(shorten(f"{where}: {first['msg']}" if where else first["msg"], 200)) from None
    return data


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a json lines file; empty if it does not exist. An incomplete last line, from a crash, is ignored.
    Raises CheckpointError for any other invalid line."""
    kind = LINES[path.name]
    try:
        *lines, tail = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}.") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records += [checked(line, kind)] if line.strip() else []
        except ValueError as error:
            raise CheckpointError(f"{path}: line {number} is damaged: {error}. Remove that line.") from None
    try:
        return [*records, checked(tail, kind)] if tail.strip() else records
    except ValueError:
        return records
