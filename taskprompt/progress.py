"""Progress of jobs and trials: a bar on a terminal or in a notebook, else lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment

from taskprompt.core.events import (
    Evaluated,
    Evaluating,
    Event,
    Labeling,
    Rendering,
    ScalingUp,
    Step,
    TrialChanged,
    Waiting,
    Warned,
    Watch,
    WeightsLoaded,
    WorkerLost,
)
from taskprompt.core.text import shown
from taskprompt.notebook import Notebook, displayed
from taskprompt.sweeps.sweep import Sweep, words

QUIET_SECONDS = 15  # between lines without a terminal


class Console(console.Console):
    """rich's Console, without control characters and keys in printed text."""

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Segments with escaped text; rich's own control sequences are separate segments."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(shown(piece.text), piece.style)


@contextmanager
def progress(watch: Watch | None) -> Iterator[Watch]:
    """A function that shows every event of a job; or the given one."""
    if watch is not None:
        yield watch
        return
    terminal = Console(stderr=True, markup=False, highlight=False)
    if terminal.is_jupyter:
        notebook = Notebook(displayed())
        try:
            yield Cell(notebook)
        finally:
            notebook.draw()
        return
    if not terminal.is_terminal:
        yield Lines(terminal)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=terminal) as bar:
        yield Bar(bar)


class Bar:
    """One bar for the steps, and one per held-out source."""

    def __init__(self, bar: Progress):
        self.bar = bar
        self.tasks: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Step():
                task = self._task("fit", event.step + event.left)
                self.bar.update(task, completed=event.step, facts=facts(event))
            case Evaluating() | Rendering() | Labeling():
                name, told = clips_in_words(event)
                self.bar.update(self._task(name, event.total), advance=event.clips, facts=told)
            case _ if (words := in_words(event)) is not None:
                self.bar.console.print(words)

    def _task(self, name: str, total: int):
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(name, total=total, facts="")
        elif self.bar.tasks[self.tasks[name]].finished:  # evaluated again during training
            self.bar.reset(self.tasks[name])
        return self.tasks[name]


class Cell:
    """The same bars in a notebook, and evaluations during training."""

    def __init__(self, notebook: Notebook):
        self.notebook = notebook

    def __call__(self, event: Event) -> None:
        match event:
            case Step():
                told = f"{facts(event)}  {time_left(event)}"
                self.notebook.set("fit", event.step, event.step + event.left, told)
            case Evaluating() | Rendering() | Labeling():
                name, told = clips_in_words(event)
                self.notebook.advance(name, event.clips, event.total, told)
            case Evaluated():
                self.notebook.say(held_out_in_words(event))
            case _ if (words := in_words(event)) is not None:
                self.notebook.say(words)


class Lines:
    """The same as lines, for a log."""

    def __init__(self, console: Console):
        self.console = console
        self.last = -float("inf")

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        due = now - self.last >= QUIET_SECONDS
        match event:
            case Step() if due or event.left == 0:
                self.last = now
                of = event.step + event.left
                self.console.print(f"step {event.step}/{of}  {facts(event)}  {time_left(event)}")
            case Evaluated():
                self.console.print(held_out_in_words(event))
            case Labeling() if due or event.seen == event.total:
                self.last = now
                left = event.seconds * (event.total / event.seen - 1)
                done = f"labeled {event.seen} of {event.total} clips for {event.labeler}"
                self.console.print(f"{done}  {labels_a_second(event)}  {left:.0f} s left")
            case _ if (words := in_words(event)) is not None:
                self.console.print(words)
        sys.stderr.flush()


def held_out_in_words(event: Evaluated) -> str:
    """An evaluation during training as text."""
    return f"step {event.step}  " + "  ".join(f"{k} {v:.3g}" for k, v in event.metrics.items())


def time_left(event: Step) -> str:
    """Time left in training; empty for the first step of a job, when the speed is unknown."""
    return f"{event.left / event.steps_per_s:.0f} s left" if event.steps_per_s else ""


def clips_in_words(event: Evaluating | Rendering | Labeling) -> tuple[str, str]:
    """The name of a bar, and its text."""
    match event:
        case Labeling():
            return f"labeled {event.labeler}", labels_a_second(event)
        case Rendering():
            return f"drawn {event.source}", ""
    return f"evaluated {event.source}", ""


def in_words(event: Event) -> str | None:
    """A line for events about weights, the cluster, and warnings; None for other events."""
    match event:
        case WorkerLost():
            return f"{event.error} Restarting from the newest checkpoint; restarts left: {event.left}."
        case ScalingUp():
            count = f"{event.workers} worker{'s' * (event.workers != 1)}"
            return f"stopped at a checkpoint with {count}, since there are resources for more"
        case Waiting() | WeightsLoaded() | Warned():
            return event.text
    return None


def trial_lines(sweep: Sweep) -> Watch:
    """A function that prints one line for each change of a trial."""
    terminal = Console(stderr=True, markup=False, highlight=False)
    notebook = Notebook(displayed()) if terminal.is_jupyter else None

    def show(event: Event) -> None:
        if not isinstance(event, TrialChanged):
            return
        if notebook is not None:
            notebook.say(trial_in_words(event, sweep))
            notebook.draw()
            return
        terminal.print(trial_in_words(event, sweep), soft_wrap=True)

    return show


def trial_in_words(event: TrialChanged, sweep: Sweep) -> str:
    """A change of a trial as text, and the best trial so far."""
    head, at = f"trial {event.trial}", ""
    if event.change in ("begun", "resumed"):
        return f"{head} {event.change}: " + "  ".join(f"{k} {words(v)}" for k, v in event.values.items())
    if event.change == "failed":
        at = f": {event.error}"
    elif event.value is not None:
        at = f" at step {event.step}: {sweep.metric} {event.value:.4g}"
    best = f"  (best so far: trial {event.best[0]}, {event.best[1]:.4g})" if event.best else ""
    return f"{head} {event.change}{at}{best}"


def labels_a_second(event: Labeling) -> str:
    """Clips and tokens per second of a labeling job."""
    seconds = max(event.seconds, 1e-6)
    return f"{event.seen / seconds:.1f} clips/s  {event.tokens / seconds:.0f} tokens/s"


def facts(event: Step) -> str:
    """Loss and speed as text."""
    return f"loss {event.loss:.3f}  {event.clips_per_s:.1f} clips/s"
