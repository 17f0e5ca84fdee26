"""The page of a sweep: one self-contained html file; also for a running sweep."""

from pathlib import Path
from typing import Any

from taskprompt.core.files import ELSEWHERE, check_writable, write
from taskprompt.core.metrics import NOTHING, Metric
from taskprompt.reporting import facts, sweep_plots
from taskprompt.reporting.comparison_table import cells
from taskprompt.reporting.page import environment, inline
from taskprompt.sweeps.comparison import compare_rows, is_comparison
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.sweep import Sweep, words
from taskprompt.sweeps.trials import TrialRow, best, result

CHIPS = {"done": "better", "stopped": "even", "running": "even", "failed": "worse"}  # state -> css class


def write_sweep_page(run: SweepRun, folder: Path | None = None) -> Path:
    """Write report.html: trials with their results and curves, and importances of fields; returns its path.

    folder: where to write it; None: the sweep's."""
    folder = folder or run.path
    check_writable(folder, ELSEWHERE)
    page = environment().get_template("sweep.html.jinja").render(context(run))
    return write(folder / "report.html", page, ELSEWHERE)


def context(run: SweepRun) -> dict[str, Any]:
    """The template's data."""
    sweep, metric, rows = run.sweep, run.metric, run.trials()
    found, importance = best(rows, sweep), sweep_plots.importances(rows, sweep)
    measured = any(r.measured for r in rows)
    panels = []
    if measured:
        panels += [sweep_plots.reached_panel(rows, sweep, metric)]
        panels += [sweep_plots.curves_panel(rows, found, sweep, metric)]
    return {
        "name": run.path.name,
        "sweep": sweep,
        "metric": metric,
        "comparison": cells(compare_rows(rows, sweep.names), metric, " ± ") if is_comparison(sweep) else [],
        "yaml": sweep.text(),
        "best": found and line(found, sweep, metric),
        "lines": [line(row, sweep, metric) for row in ranked(rows, sweep)],
        "states": {s: n for s in CHIPS if (n := sum(r.state == s for r in rows))},
        "begun": len(rows),
        "minutes": sum(r.seconds for r in rows) / 60,
        "panels": inline([*panels, *([sweep_plots.importance_panel(importance)] if importance else [])]),
        "importance": importance,
        "enough": sweep_plots.ENOUGH,
        "parallel": inline([sweep_plots.parallel_panel(rows, sweep, metric)] if measured else []),
        "versions": facts.versions(),
    }


def ranked(rows: list[TrialRow], sweep: Sweep) -> list[TrialRow]:
    """Trials that trained to the end, the best first, then the others by number of steps."""
    sign = -1 if sweep.maximizes else 1

    def key(row: TrialRow) -> tuple[bool, bool, int, float]:
        value = sign * row.measured[-1] if row.measured else 0.0
        return row.state != "done", row.state == "failed", -row.steps[-1] if row.steps else 0, value

    return sorted(rows, key=key)


def line(row: TrialRow, sweep: Sweep, metric: Metric) -> dict[str, Any]:
    """The template's data of one trial."""
    facts = result(row, sweep)
    top = facts["best"]
    return {
        "name": row.name,
        "values": [words(row.values[n]) for n in sweep.axes],
        "last": NOTHING if row.last is None else metric.text(row.last),
        "top": NOTHING if top is None else metric.text(top),
        "top_step": facts["best_step"],
        "steps": facts["steps"],
        "seconds": f"{row.seconds:.0f} s",
        "state": row.state,
        "chip": CHIPS[row.state],
        "error": row.error,
    }
