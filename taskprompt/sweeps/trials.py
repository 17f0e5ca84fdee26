"""The trials of a sweep: a row each, made of the events of its journal, and which of them is the best."""

from dataclasses import dataclass, field
from typing import Any

from taskprompt.core.errors import CheckpointError
from taskprompt.sweeps.sweep import Sweep


@dataclass
class TrialRow:
    """One trial: its values, what was measured at which step, and how it ended."""

    number: int
    values: dict[str, Any]  # field -> value
    steps: list[int] = field(default_factory=list)  # of each evaluation
    measured: list[float] = field(default_factory=list)  # the sweep's metric at these
    seconds: float = 0.0  # of training and evaluating
    state: str = "running"  # then done (trained to its end), stopped (early) or failed
    error: str = ""  # why it failed

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number:03d}"

    @property
    def last(self) -> float | None:
        """What was measured last; None before the first evaluation."""
        return self.measured[-1] if self.measured else None


def follow(rows: list[TrialRow], event: dict[str, Any]) -> None:
    """One event of the journal, added to the table of trials."""
    if event["event"] == "begin":
        rows.append(TrialRow(event["trial"], event["values"]))
        return
    if event["trial"] >= len(rows):
        raise CheckpointError(f"journal.jsonl: tells of trial {event['trial']}, which never began. Start with --fresh.")
    row = rows[event["trial"]]
    if event["event"] == "again":
        row.state, row.error = "running", ""
    elif event["event"] == "report":
        row.steps.append(event["step"])
        row.measured.append(event["value"])
        row.seconds += event["seconds"]
    else:
        row.state, row.error = event["state"], event.get("error", "")


def best(rows: list[TrialRow], sweep: Sweep) -> TrialRow | None:
    """The trial whose last measurement is best, among those that trained to their end; before any has, among all."""
    measured = [r for r in rows if r.measured and r.state != "failed"]
    found = None
    for row in [r for r in measured if r.state == "done"] or measured:
        if found is None or sweep.better(row.measured[-1], found.measured[-1]):
            found = row
    return found


def result(row: TrialRow, sweep: Sweep) -> dict[str, Any]:
    """A trial as one entry of results.json."""
    at = None
    for i, value in enumerate(row.measured):
        at = i if at is None or sweep.better(value, row.measured[at]) else at
    return {
        "trial": row.number,
        "values": row.values,
        "state": row.state,
        "last": row.last,
        "best": None if at is None else row.measured[at],
        "best_step": None if at is None else row.steps[at],
        "steps": row.steps[-1] if row.steps else 0,
        "seconds": round(row.seconds, 1),
        "error": row.error,
    }
