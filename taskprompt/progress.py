"""Progress: loss, clips a second and time left, as a bar on a terminal or in a notebook, as lines elsewhere; trials."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment

from taskprompt.core.text import shown
from taskprompt.notebook import Notebook, displayed
from taskprompt.sweeps.sweep import Sweep, words

QUIET_SECONDS = 15  # between lines where there is no terminal


class Console(console.Console):
    """rich's, without control characters and keys in what it is given to print."""

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Pieces of text, made printable; rich's own control sequences are pieces of their own."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(shown(piece.text), piece.style)


@contextmanager
def progress(watch: Callable[[dict[str, Any]], None] | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function to call with every record of a job; the given one, if there is one."""
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
    """One bar for the steps, one a held-out source."""

    def __init__(self, bar: Progress):
        self.bar = bar
        self.tasks: dict[str, Any] = {}

    def __call__(self, record: dict[str, Any]) -> None:
        if "left" in record:
            task = self._task("fit", record["step"] + record["left"])
            self.bar.update(task, completed=record["step"], facts=facts(record))
        if (words := event_in_words(record)) is not None:
            self.bar.console.print(words)
        for verb in ("evaluated", "drawn", "labeled"):
            if verb in record:
                task = self._task(f"{verb} {record['source']}", record["of"])
                self.bar.update(task, advance=record[verb], facts=labels_a_second(record) if verb == "labeled" else "")

    def _task(self, name: str, total: int):
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(name, total=total, facts="")
        elif self.bar.tasks[self.tasks[name]].finished:  # measured again, while training
            self.bar.reset(self.tasks[name])
        return self.tasks[name]


class Cell:
    """The same bars in a notebook, and what was measured while training."""

    def __init__(self, notebook: Notebook):
        self.notebook = notebook

    def __call__(self, record: dict[str, Any]) -> None:
        if "left" in record:
            total = record["step"] + record["left"]
            self.notebook.set("fit", record["step"], total, f"{facts(record)}  {time_left(record)}")
        for verb in ("evaluated", "drawn", "labeled"):
            if verb in record:
                told = labels_a_second(record) if verb == "labeled" else ""
                self.notebook.advance(f"{verb} {record['source']}", record[verb], record["of"], told)
        for text in (held_out_in_words(record), event_in_words(record)):
            if text is not None:
                self.notebook.say(text)


class Lines:
    """The same facts as lines, for a log."""

    def __init__(self, console: Console):
        self.console = console
        self.last = -float("inf")

    def __call__(self, record: dict[str, Any]) -> None:
        now = time.monotonic()
        if "left" in record and (now - self.last >= QUIET_SECONDS or record["left"] == 0):
            self.last = now
            of = record["step"] + record["left"]
            self.console.print(f"step {record['step']}/{of}  {facts(record)}  {time_left(record)}")
        elif (words := held_out_in_words(record)) is not None:
            self.console.print(words)
        elif "labeled" in record and (now - self.last >= QUIET_SECONDS or record["seen"] == record["of"]):
            self.last = now
            left = record["seconds"] * (record["of"] / record["seen"] - 1)
            done = f"labeled {record['seen']} of {record['of']} clips for {record['source']}"
            self.console.print(f"{done}  {labels_a_second(record)}  {left:.0f} s left")
        elif (words := event_in_words(record)) is not None:
            self.console.print(words)
        sys.stderr.flush()


def held_out_in_words(record: dict[str, Any]) -> str | None:
    """What was measured while training; None for other records."""
    if "held_out" not in record:
        return None
    return f"step {record['step']}  " + "  ".join(f"{k} {v:.3g}" for k, v in record["held_out"].items())


def time_left(record: dict[str, Any]) -> str:
    """Of a training; nothing for the first step of a job, which has no pace yet."""
    return f"{record['left'] / record['steps_per_s']:.0f} s left" if record["steps_per_s"] else ""


def event_in_words(record: dict[str, Any]) -> str | None:
    """What became of the weights to start from, or of the cluster, and what happens now; None for other records."""
    if "lost" in record:
        return f"{record['lost']} Starting anew from what is saved; times left: {record['left_to_try']}."
    if "grows" in record:
        count = f"{record['grows']} worker{'s' * (record['grows'] != 1)}"
        return f"stopped at a checkpoint with {count}, since there is room for more"
    return record.get("waiting") or record.get("weights") or record.get("told")


def trial_lines(sweep: Sweep) -> Callable[[dict[str, Any]], None]:
    """A function that prints what happens to the trials of a sweep, a line each."""
    terminal = Console(stderr=True, markup=False, highlight=False)
    notebook = Notebook(displayed()) if terminal.is_jupyter else None

    def show(record: dict[str, Any]) -> None:
        if notebook is not None:
            notebook.say(trial_in_words(record, sweep))
            notebook.draw()
            return
        terminal.print(trial_in_words(record, sweep), soft_wrap=True)

    return show


def trial_in_words(record: dict[str, Any], sweep: Sweep) -> str:
    """What happened to a trial, and the best so far."""
    head, at = f"trial {record['trial']}", ""
    if record["what"] in ("begun", "resumed"):
        return f"{head} {record['what']}: " + "  ".join(f"{k} {words(v)}" for k, v in record["values"].items())
    if record["what"] == "failed":
        at = f": {record['error']}"
    elif record["value"] is not None:
        at = f" at step {record['at']}: {sweep.metric} {record['value']:.4g}"
    best = f"  (best so far: trial {record['best'][0]}, {record['best'][1]:.4g})" if record["best"] else ""
    return f"{head} {record['what']}{at}{best}"


def labels_a_second(record: dict[str, Any]) -> str:
    """Clips and tokens a second of a labeling job."""
    seconds = max(record["seconds"], 1e-6)
    return f"{record['seen'] / seconds:.1f} clips/s  {record['tokens'] / seconds:.0f} tokens/s"


def facts(record: dict[str, Any]) -> str:
    """Loss and pace in words."""
    return f"loss {record['loss']:.3f}  {record['clips_per_s']:.1f} clips/s"
