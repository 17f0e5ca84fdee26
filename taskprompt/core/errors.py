"""Errors a user can act on. Each says what, what was found, what was expected, and what to do."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from taskprompt.core.advice import for_python
from taskprompt.core.text import shown as shown_text


class TaskPromptError(Exception):
    """Base of every error that taskprompt raises on purpose; the command line prints its `text` as one line.

    A message names options as the command line does, such as --resume; str() of the error names them as Python does.
    Both are fit to be shown: keys of addresses are masked, and control characters are written as escapes."""

    @property
    def text(self) -> str:
        """The message in the words of the command line."""
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
    """A file cannot be written: no room on the disk, no right to, or a place that is gone."""

    result: Mapping[str, Any] | None = None  # what was measured and could not be written


class ClusterError(TaskPromptError, RuntimeError):
    """What a recipe asks of the machine or the cluster cannot be had."""


class JobError(TaskPromptError, RuntimeError):
    """A job for a cluster cannot be sent, is not known there, failed, or was stopped."""


def nearest(word: str, known: Iterable[str]) -> str:
    """'.', or '. Did you mean ...?' where a known word is near."""
    near = get_close_matches(word[:100], list(known), 1)
    return f". Did you mean {near[0]!r}?" if near else "."


def told(error: Exception) -> str:
    """An error in a message of another: its text, and what it is where a plug-in's or a library's code raised it."""
    text = " ".join(str(error).split())
    return text if isinstance(error, TaskPromptError) else f"{type(error).__name__}: {text[:300]}."


@contextmanager
def mistakes_of(task: str, where: str, keys: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
    """Around a task's own code: what it raises becomes a TaskError that names task, place and clips."""
    from torch import OutOfMemoryError
    from torch.distributed import DistError

    try:
        yield
    except (TaskPromptError, OutOfMemoryError, DistError):
        raise
    except Exception as error:
        clips = f", {shown(keys())}" if keys() else ""
        text = " ".join(str(error).split())
        raise TaskError(f"task {task!r}{clips}: {type(error).__name__}: {text}. Mend {where}.") from error


def shown(keys: Sequence[str], most: int = 3) -> str:
    """The first few keys, for a message."""
    listed = ", ".join(repr(k) for k in keys[:most])
    return f"clip{'s' * (len(keys) > 1)} {listed}{f' and {len(keys) - most} more' if len(keys) > most else ''}"
