"""The table of a comparison, as Markdown, LaTeX and json."""

import json
import math
from collections.abc import Mapping, Sequence

from taskprompt.core import text
from taskprompt.core.files import write
from taskprompt.core.metrics import NOTHING, Metric
from taskprompt.core.secrets import masked_data
from taskprompt.sweeps.comparison import Entry, Mean, as_data, compare_rows
from taskprompt.sweeps.run import SweepRun


def write_comparison(run: SweepRun) -> Mapping[str, str]:
    """Write comparison.json, .md and .tex into a comparison's folder; returns name -> text of the three."""
    sweep, rows = run.sweep, run.trials()
    entries, metric = compare_rows(rows, sweep.names), run.metric
    texts = {
        "comparison.json": json.dumps(masked_data(as_data(entries, sweep.metric)), indent=1),
        "comparison.md": markdown(entries, metric, sweep.metric),
        "comparison.tex": latex(entries, metric),
    }
    for name, content in texts.items():
        write(run.path / name, content)
    return texts


def cells(entries: Sequence[Entry], metric: Metric, between: str) -> list[tuple[str, str, str, str, str]]:
    """recipe, runs, value, gain, minutes, as text; `between` separates a value from half the width of its interval."""
    return [
        (
            e.recipe,
            str(e.value.count if e.value else 0),
            shown(e.value, metric, between),
            shown(e.gain, metric, between, sign=True),
            f"{e.minutes:.1f}" if math.isfinite(e.minutes) else NOTHING,
        )
        for e in entries
    ]


def shown(m: Mean | None, metric: Metric, between: str, *, sign: bool = False) -> str:
    """A mean with its interval, without the unit."""
    if m is None:
        return NOTHING
    plus = "+" if sign and m.mean >= 0 else ""
    return f"{plus}{metric.number(m.mean)}" + (f"{between}{metric.number(m.half)}" if math.isfinite(m.half) else "")


def markdown(entries: Sequence[Entry], metric: Metric, path: str) -> str:
    """The table in Markdown, and below it each run that failed."""
    unit = f" ({metric.symbol})" if metric.symbol else ""
    head = ("recipe", "runs", f"{metric.title}{unit} {metric.arrow}", f"over {entries[0].recipe}", "minutes per run")
    rows = [f"| {' | '.join(map(text.markdown, row))} |" for row in (head, *cells(entries, metric, " ± "))]
    notes = [
        "",
        f"{text.markdown(path)}; mean ± half of its 95 % interval over seeds (Student's t); differences are paired "
        "by seed.",
    ]
    lines = [rows[0], "|---|---|---|---|---|", *rows[1:], *notes]
    failed = [text.markdown(f"- {e.recipe}, {line}") for e in entries for line in e.failed]
    return "\n".join([*lines, *(["", "Failed:", "", *failed] if failed else [])]) + "\n"


def latex(entries: Sequence[Entry], metric: Metric) -> str:
    """The table in LaTeX, with the rules of the package booktabs."""
    unit = f" ({metric.symbol})" if metric.symbol else ""
    head = ["recipe", "runs", f"{metric.title}{unit}", f"over {entries[0].recipe}", "minutes per run"]
    body = [
        " & ".join([text.latex(name), *(f"${n}$" if "pm" in n else text.latex(n) for n in numbers)])
        for name, *numbers in cells(entries, metric, r" \pm ")
    ]
    rules = [r"\begin{tabular}{lrrrr}", r"\toprule", " & ".join(map(text.latex, head)) + r" \\", r"\midrule"]
    return "\n".join([*rules, *(f"{line} \\\\" for line in body), r"\bottomrule", r"\end{tabular}"]) + "\n"
