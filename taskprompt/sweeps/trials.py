"""The trials of a sweep: one row each, built from the events of the journal, and the best trial."""

from dataclasses import dataclass, field
from typing import Any

from taskprompt.core.errors import CheckpointError
from taskprompt.sweeps.sweep import Sweep


@dataclass
class TrialRow:
    """One trial: its values, evaluations, and state."""

    number: int
    values: dict[str, Any]  # field -> value
    steps: list[int] = field(default_factory=list)  # of each evaluation
    measured: list[float] = field(default_factory=list)  # the sweep's metric at these
    seconds: float = 0.0  # of training and evaluating
    state: str = "running"  # then done (trained to its end), stopped (early) or failed
    error: str = ""  # why it failed

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.number:03d}"

    @property
    def last(self) -> float | None:
        """The last measured value; None before the first evaluation."""
        return self.measured[-1] if self.measured else None


def follow(rows: list[TrialRow], event: dict[str, Any]) -> None:
    """Apply one event of the journal to the table of trials."""
    if event["event"] == "begin":
        rows.append(TrialRow(event["trial"], event["values"]))
        return
    if event["trial"] >= len(rows):
        raise CheckpointError(
            f"journal.jsonl: has an event of trial {event['trial']}, which never started. Start with --fresh."
        )
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
    """The trial with the best last value among those that trained to the end; if there is none, among all."""
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
