"""Errors for users. Each says what is wrong, what was found, what was expected, and what to do."""

import json
import os
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from taskprompt.core.advice import for_python
from taskprompt.core.text import shown as shown_text


class TaskPromptError(Exception):
    """Base class of all errors that taskprompt raises on purpose; the command line prints its `text` as one line.

    A message names options as the command line does, such as --resume; str() of the error names them as Python does.
    So a message that holds another error takes its `text`, or `told` of it.
    Both are fit to be shown: keys of addresses are masked, and control characters are written as escapes."""

    @property
    def text(self) -> str:
        """The message with options of the command line."""
        return shown_text(super().__str__())

    def __str__(self) -> str:
        return for_python(self.text)


class SpecError(TaskPromptError, ValueError):
    """A spec, or a name in one, is wrong."""


class RecipeError(TaskPromptError, ValueError):
    """A recipe is wrong; `problems` holds every problem found, one line each."""

    def __init__(self, where: str, problems: list[str]):
        self.where, self.problems = where, problems
        super().__init__(where, problems)  # both, so that it survives pickling between Ray workers

    @property
    def text(self) -> str:
        count = f"{len(self.problems)} problem" + "s" * (len(self.problems) > 1)
        return shown_text("\n".join([f"{self.where}: {count}", *(f"  {p}" for p in self.problems)]))


class LayoutError(TaskPromptError, ValueError):
    """An array does not have the shape that its task declares: a mistake in a task's code, never skipped."""


class TaskError(TaskPromptError, RuntimeError):
    """A task's code failed: its target, head or loss raised, or its loss is not a finite number."""


class SampleError(TaskPromptError, ValueError):
    """One sample cannot be used (a broken file, a label that does not fit): it is skipped, counted and listed."""


class SourceError(TaskPromptError, ValueError):
    """A whole source cannot be used: a missing folder, a csv without a column, too many bad samples."""


class CheckpointError(TaskPromptError, ValueError):
    """A checkpoint is absent, damaged, or belongs to another recipe."""


class WriteError(TaskPromptError, OSError):
    """A file cannot be written: a full disk, missing permission, or a folder that no longer exists."""

    result: Mapping[str, Any] | None = None  # what was measured and could not be written


class ClusterError(TaskPromptError, RuntimeError):
    """The machine or the cluster cannot be reached or lacks resources that a recipe requests."""


class JobError(TaskPromptError, RuntimeError):
    """A job cannot be submitted, does not exist on the cluster, failed, or was stopped."""


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error as plain text, to send it between processes: nothing is imported or unpickled to read it."""

    code: str  # the name of its class, one of this module
    text: str  # its message, with options of the command line; of a RecipeError its problems, one per line
    key: str = ""  # of the clip; of a RecipeError its `where`

    @classmethod
    def of(cls, error: BaseException, key: str = "") -> "ErrorRecord":
        """The record of an error. One that is not taskprompt's is a TaskError that says where it was raised."""
        if isinstance(error, RecipeError):
            return cls("RecipeError", "\n".join(error.problems), error.where)
        if isinstance(error, TaskPromptError):  # a subclass from another module may be unknown to the other process
            return cls(next(c.__name__ for c in type(error).__mro__ if c.__module__ == __name__), error.text, key)
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        text = f"{type(error).__name__}: {error}{place}. Fix the labeler's or source's code."
        return cls("TaskError", shown_text(text), key)

    def raised(self) -> TaskPromptError:
        """The error, to be raised in this process."""
        if self.code == "RecipeError":
            return RecipeError(self.key, self.text.split("\n"))
        known = {c.__name__: c for c in TaskPromptError.__subclasses__() if c.__module__ == __name__}
        return known.get(self.code, TaskPromptError)(self.text)

    def dumps(self) -> str:
        """The record as one string, for a text column."""
        return json.dumps([self.code, self.text, self.key])

    @classmethod
    def loads(cls, text: str) -> "ErrorRecord":
        """The inverse of `dumps`."""
        code, message, key = json.loads(text)
        return cls(code, message, key)


def nearest(word: str, known: Iterable[str]) -> str:
    """'. Did you mean ...?' if a known word is similar, else '.'."""
    near = get_close_matches(word[:100], list(known), 1)
    return f". Did you mean {near[0]!r}?" if near else "."


def told(error: Exception) -> str:
    """An error in a message of another, in one line: its text; what the system says of a file; and of any other, which
    the code of a plug-in or a library raised, also its class."""
    if isinstance(error, TaskPromptError):
        return " ".join(error.text.split())
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}." if error.filename else f"{error.strerror}."
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}."


@contextmanager
def mistakes_of(task: str, where: str, keys: Callable[[], Sequence[str]] = tuple) -> Generator[None]:
    """Around a task's code: an exception becomes a TaskError that names task, place and clips."""
    from torch import OutOfMemoryError
    from torch.distributed import DistError

    try:
        yield
    except (TaskPromptError, OutOfMemoryError, DistError):
        raise
    except Exception as error:
        clips = f", {shown(keys())}" if keys() else ""
        text = " ".join(str(error).split())
        raise TaskError(f"task {task!r}{clips}: {type(error).__name__}: {text}. Fix {where}.") from error


def shown(keys: Sequence[str], most: int = 3) -> str:
    """The first few keys, for a message."""
    listed = ", ".join(repr(k) for k in keys[:most])
    return f"clip{'s' * (len(keys) > 1)} {listed}{f' and {len(keys) - most} more' if len(keys) > most else ''}"
