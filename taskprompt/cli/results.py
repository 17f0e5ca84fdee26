"""Output of the command line for a run that ended, was stopped, or was evaluated."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from taskprompt.core.events import Watch

ResultFolder = Annotated[
    Path | None, typer.Option("--out", help="The folder to write to; default: the run's.", show_default=False)
]


@contextmanager
def interrupts_told() -> Iterator[None]:
    """Around training: Ctrl-C and SIGTERM end it with one line and the usual exit status."""
    try:
        yield
    except KeyboardInterrupt as stop:
        print(f"taskprompt: {stop or 'interrupted before anything was trained'}", file=sys.stderr)
        raise typer.Exit(143 if type(stop).__name__ == "Terminated" else 130) from None


def tell_trained(run) -> None:
    """Print the skipped clips, the warnings and the place of a run."""
    tell_skipped(run, None)
    for warning in run.lines("warnings.jsonl"):
        print(f"step {warning['step']}: {warning['text']}")
    print(f"{'trained before' if run.done else 'trained'}: {run.place}")


def measured(run: str, checkpoint: str, cluster: str | None, out: Path | None, watch: Watch | None = None) -> None:
    """Evaluate and print the table, even if the results cannot be written."""
    import taskprompt as tp

    try:
        result, failed = tp.evaluate(run, checkpoint=checkpoint, cluster=cluster, out=out, watch=watch), None
    except tp.WriteError as error:
        result, failed = error.result, error
    if result is not None:
        show_evaluation(result)
    if failed is not None:
        raise failed


def show_evaluation(result) -> None:
    """Print the table of an evaluation, and the tasks that were not measured."""
    from rich.table import Table

    from taskprompt.progress import Console
    from taskprompt.reporting.facts import unmeasured
    from taskprompt.reporting.tables import evaluation_rows

    table = Table(box=None, pad_edge=False)
    for column in ("source", "task", "clips", "metric", "value", "95 % interval", "trivial"):
        table.add_column(column)
    for row in evaluation_rows(result):
        table.add_row(*row)
    Console(markup=False, width=None if sys.stdout.isatty() else 120).print(table)
    if result.test_clips > 1:
        print(f"{result.test_clips} test clips per video, for tasks whose label is that of the whole video")
    tell_skipped(None, result)
    for line in unmeasured(result):
        print(line)


def tell_skipped(run, evaluation) -> None:
    """Print one line for each reason why clips were skipped in training or in an evaluation."""
    from taskprompt.core.text import say
    from taskprompt.reporting.facts import skips

    for group in skips(run, evaluation):
        say(f"skipped {len(group.keys)} of {group.source}, such as {group.keys[0]}: {group.reason}")
