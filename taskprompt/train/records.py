"""What the json files of a run hold: each line and each file is checked when it is read, since a crash, a full disk or
a hand may have left anything in it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from taskprompt.core.errors import CheckpointError
from taskprompt.core.files import parse_json

MOST = 2**53  # no count is larger; beyond it a float is no longer exact


class Record(BaseModel):
    """Base: numbers are numbers, not text or truth values; what else there is may stay."""

    model_config = ConfigDict(strict=True, extra="allow")


class StepRecord(Record):
    """A line of metrics.jsonl: one optimizer step; beside these, loss/<task> of the tasks that had a label."""

    __pydantic_extra__: dict[str, float]  # type: ignore[misc]
    step: int = Field(ge=1, le=MOST)
    stage: int = Field(default=0, ge=0, le=MOST)
    loss: float = 0.0
    lr: float = Field(default=0.0, ge=0)
    clips_per_s: float = Field(ge=0)  # 0 at the first step of a job


class HeldOutRecord(Record):
    """A line of held_out.jsonl: source/task/metric -> value."""

    __pydantic_extra__: dict[str, float]  # type: ignore[misc]
    step: int = Field(ge=0, le=MOST)


class ClipsRecord(Record):
    """A line of clips.jsonl: source -> keys of the clips of one step."""

    step: int = Field(ge=0, le=MOST)
    clips: dict[str, list[str]]


class SkippedRecord(Record):
    """A line of skipped.jsonl."""

    source: str
    key: str
    reason: str


class WarningRecord(Record):
    """A line of warnings.jsonl: what a person should know of a run that went on all the same."""

    step: int = Field(ge=0, le=MOST)
    text: str


class EventRecord(Record):
    """A line of a sweep's journal.jsonl."""

    event: Literal["begin", "again", "report", "end"]
    trial: int = Field(ge=0, le=MOST)
    values: dict[str, JsonValue] = {}
    step: int = Field(default=0, ge=0, le=MOST)
    value: float = 0.0
    seconds: float = Field(default=0.0, ge=0)
    last: bool = False
    state: Literal["running", "done", "stopped", "failed"] = "running"
    error: str = ""


class StreamState(Record):
    """How far a source is, of state.json."""

    left: list[int] = Field(max_length=1 << 24)
    start: int = Field(ge=0, le=MOST)
    cursors: list[int] = Field(max_length=1 << 16)


class State(Record):
    """state.json of a checkpoint."""

    total: int = Field(ge=0, le=MOST)  # optimizer steps made, over all stages
    sources: dict[str, StreamState] = {}
    score: float | None = None  # of the recipe's `best`
    metric: str = ""  # what the score is of
    groups: list[str] = []  # files of tensors beside it
    optimizer: str = ""  # what the group `optimizer` is the state of


class TaskResult(Record):
    """One task on one source, of evaluation.json."""

    kind: str
    clips: int = Field(ge=0, le=MOST)
    metrics: dict[str, float] = {}
    interval: dict[str, list[float]] = {}
    trivial: dict[str, float] = {}
    better: dict[str, Literal["max", "min"]] = {}


class SourceResult(Record):
    """One source, of evaluation.json."""

    rows: int = Field(ge=0, le=MOST)
    skipped: dict[str, str]
    tasks: dict[str, TaskResult]


class Evaluation(Record):
    """evaluation.json."""

    checkpoint: str
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
    """Json text as data of this kind. Raises ValueError, in one line, where it is anything else."""
    data = parse_json(text)
    try:
        kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    return data


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file of json lines; none where it does not exist. The end of a line that a crash cut off is left
    out. Raises CheckpointError for any other line that cannot be used."""
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
