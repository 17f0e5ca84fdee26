"""Short descriptions of sweeps, for a Python prompt and a notebook, from the current contents of their folders."""

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from taskprompt.core.result import html_table
from taskprompt.runs.shown import UNREADABLE, in_brackets
from taskprompt.sweeps.sweep import words

if TYPE_CHECKING:
    from taskprompt.sweeps.run import SweepRun


def sweep_text(run: "SweepRun") -> str:
    """A sweep's `repr`."""
    return in_brackets(type(run).__name__, run.path, lambda: _trials(run))


def sweep_html(run: "SweepRun") -> str:
    """The same for a notebook, with one line per trial."""
    head: tuple[str, ...] = ("trial",)
    rows, title = [], f"Sweep {run.path}"
    with suppress(*UNREADABLE):
        sweep = run.sweep
        head = ("trial", *sweep.axes, "state", sweep.metric, "minutes", "error")
        title = f"{title}: {_trials(run)}"
        for row in run.trials():
            measured = "" if row.last is None or not math.isfinite(row.last) else f"{row.last:.4g}"
            values = [words(row.values.get(name)) for name in sweep.axes]
            rows.append((row.name, *values, row.state, measured, f"{row.seconds / 60:.1f}", row.error))
    return html_table(head, rows, title)


def _trials(run: "SweepRun") -> str:
    """'8 of 10 trials, the best 003 with real/action/top1 0.71'."""
    best, sweep = run.best(), run.sweep
    told = "" if best is None or best.last is None else f", the best {best.name} with {sweep.metric} {best.last:.4g}"
    return f"{len(run.trials())} of {sweep.count} trials{told}"
