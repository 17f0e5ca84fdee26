"""Short descriptions of runs, for a Python prompt and a notebook, from the current contents of their folders."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from taskprompt.core.errors import TaskPromptError
from taskprompt.core.result import html_table
from taskprompt.core.text import one_line
from taskprompt.runs import checkpoint

if TYPE_CHECKING:
    from taskprompt.runs.run import Run

UNREADABLE = (OSError, ValueError, KeyError, TypeError, TaskPromptError)  # for files that are damaged or being written


def in_brackets(name: str, place: str | Path, state: Callable[[], str]) -> str:
    """'<Run runs/a: 120 of 300 steps>'; without the state where the files that say it cannot be read."""
    said = ""
    with suppress(*UNREADABLE):
        said = f": {state()}"
    return f"<{name} {one_line(place)}{said}>"


def run_text(run: "Run") -> str:
    """A run's `repr`."""
    which = "" if run.which == "last" else f", checkpoint {run.which}"
    return in_brackets("Run", run.place, lambda: f"{_steps(run)}{which}")


def run_html(run: "Run") -> str:
    """The same for a notebook, with the last evaluation during training."""
    rows = [("folder", run.place), ("checkpoint", run.which)]
    with suppress(*UNREADABLE):
        rows.append(("trained", _steps(run)))
        kept = [p.name for p in checkpoint.complete(run.checkpoints)]
        rows.append(("kept", ", ".join(kept) or "no checkpoint yet"))
        for line in run.lines("held_out.jsonl")[-1:]:
            rows += [(metric, f"{value:.4g}") for metric, value in line.items() if metric != "step"]
    return html_table((), rows, "Run")


def _steps(run: "Run") -> str:
    """'120 of 300 steps'."""
    lines = run.lines("metrics.jsonl")
    return f"{lines[-1]['step'] if lines else 0} of {sum(stage.steps for stage in run.recipe.stages)} steps"
