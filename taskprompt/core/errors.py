"""Errors a user can act on. Each says what, what was found, what was expected, and what to do."""


class TaskPromptError(Exception):
    """Base of every error that taskprompt raises on purpose; the command line prints it as one line."""


class SpecError(TaskPromptError, ValueError):
    """A spec, or a name in one, is wrong."""


class RecipeError(TaskPromptError, ValueError):
    """A recipe is wrong; `problems` holds every problem found, one line each."""

    def __init__(self, where: str, problems: list[str]):
        self.where, self.problems = where, problems
        super().__init__(where, problems)  # both, so that it survives pickling between Ray workers

    def __str__(self) -> str:
        count = f"{len(self.problems)} problem" + "s" * (len(self.problems) > 1)
        return "\n".join([f"{self.where}: {count}", *(f"  {p}" for p in self.problems)])


class LayoutError(TaskPromptError, ValueError):
    """An array does not have the shape that its task declares: a mistake in a task's code, never skipped."""


class SampleError(TaskPromptError, ValueError):
    """One sample cannot be used (a broken file, a label that does not fit): it is skipped, counted and listed."""


class SourceError(TaskPromptError, ValueError):
    """A whole source cannot be used: a missing folder, a csv without a column, too many bad samples."""


class CheckpointError(TaskPromptError, ValueError):
    """A checkpoint is absent, damaged, or belongs to another recipe."""


class ClusterError(TaskPromptError, RuntimeError):
    """What a recipe asks of the machine or the cluster cannot be had."""


class JobError(TaskPromptError, RuntimeError):
    """A job for a cluster cannot be sent, is not known there, failed, or was stopped."""
