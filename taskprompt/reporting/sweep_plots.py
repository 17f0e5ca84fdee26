"""Plots of a sweep as inline SVG: results, curves and values of trials, and importances of fields."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from taskprompt.core.metrics import Metric
from taskprompt.core.text import one_line
from taskprompt.reporting.plots import COLOURS, GREY, STYLE, Panel, panel_axes, to_svg
from taskprompt.sweeps.sweep import Range, Sweep, words
from taskprompt.sweeps.trials import TrialRow

ENOUGH = 8  # evaluated trials, from which on importances are shown
TOP = 0.25  # share of the trials that count as good


def reached_panel(rows: Sequence[TrialRow], sweep: Sweep, metric: Metric) -> Panel:
    """The last value of every trial, in order, and the best so far. Filled dots: trained to the end."""
    figure, axes = panel_axes()
    done = [r for r in rows if r.state == "done" and r.measured]
    rest = [r for r in rows if r.state in ("stopped", "running") and r.measured]
    for group, face in ((done, COLOURS[0]), (rest, "none")):
        axes.scatter([r.number for r in group], shown(metric, group), s=22, facecolors=face, edgecolors=COLOURS[0])
    best: list[float] = []
    for value in shown(metric, done):
        best.append(value if not best or sweep.better(value, best[-1]) else best[-1])
    if best:
        ends = [*(r.number for r in done), rows[-1].number]
        axes.step(ends, [*best, best[-1]], where="post", color=COLOURS[1], linewidth=1.8)
    axes.set_xlabel("trial")
    return Panel("best so far", to_svg(figure, f"{sweep.metric} of every trial"), unit(metric))


def curves_panel(rows: Sequence[TrialRow], best: TrialRow | None, sweep: Sweep, metric: Metric) -> Panel:
    """The metric of every trial over steps; the best trial is bold."""
    figure, axes = panel_axes()
    for row in rows:
        it = best is not None and row.number == best.number
        values = [metric.factor * v for v in row.measured]
        style = {"color": COLOURS[1], "linewidth": 2.2, "zorder": 3} if it else {"color": COLOURS[0], "alpha": 0.45}
        axes.plot(row.steps, values, marker="o", markersize=2.5 if it else 1.5, **style)
    axes.set_xlabel("step")
    return Panel("every trial", to_svg(figure, f"{sweep.metric} of every trial over steps"), unit(metric))


def parallel_panel(rows: Sequence[TrialRow], sweep: Sweep, metric: Metric) -> Panel:
    """Parallel coordinates: one line per trial through its values to its result; bright lines are good trials."""
    measured = [r for r in rows if r.measured and r.state != "failed"]
    names = [*sweep.axes, sweep.metric]
    with rc_context(STYLE):
        figure = Figure(figsize=(max(7.4, 1.7 * len(names)), 3.2), layout="constrained")
        axes = figure.add_subplot()
    values = np.asarray([r.measured[-1] for r in measured], float)
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    order = np.argsort(values if sweep.maximizes else -values)  # the best are drawn last
    for at in order:
        row, height = measured[at], (values[at] - low) / ((high - low) or 1.0)
        good = height if sweep.maximizes else 1 - height
        path = [place(r, row.values[n]) for n, r in sweep.axes.items()] + [float(height)]
        axes.plot(range(len(names)), path, color=colormaps["plasma"](0.1 + 0.75 * good), alpha=0.85, linewidth=1.4)
    for i, field in enumerate(sweep.axes.values()):
        axis(axes, i, *ticks(field))
    axis(axes, len(names) - 1, [0.0, 1.0], [f"{metric.factor * v:.3g}" for v in (low, high)])
    axes.set_xticks(range(len(names)), [short(n) for n in names])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.tick_params(length=0, pad=12)
    return Panel("values and results", to_svg(figure, "parallel coordinates of all trials"))


def importance_panel(found: dict[str, float]) -> Panel:
    """One bar per field, the most important on top."""
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6, 0.7 + 0.32 * len(found)), layout="constrained")
        axes = figure.add_subplot()
    names = list(found)[::-1]
    axes.barh([short(n) for n in names], [100 * found[n] for n in names], color=COLOURS[0], height=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(length=2)
    return Panel("importance of fields", to_svg(figure, "importance of every field"), "%")


def importances(rows: Sequence[TrialRow], sweep: Sweep) -> dict[str, float]:
    """field -> its importance, the largest first, by Optuna's PED-ANOVA; empty if there are too few trials.

    PED-ANOVA compares the distribution of the best quarter of the trials over a field with that of all trials. It uses
    only ranks, so trials that were stopped early are included with their last value."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    measured = [r for r in rows if r.measured and r.state in ("done", "stopped")]
    if len(measured) < ENOUGH:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if sweep.maximizes else "minimize")
    space: dict[str, Any] = {n: r.distribution() for n, r in sweep.axes.items()}
    for row in measured:
        params = {n: r.encode(row.values[n]) for n, r in sweep.axes.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=row.measured[-1]))
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=TOP))
    return found if all(map(math.isfinite, found.values())) and sum(found.values()) else {}


def place(field: Range, value: Any) -> float:
    """The position of a value on its axis, 0 to 1."""
    if field.choice is not None:
        known = [json.dumps(v) for v in field.choice]
        return known.index(json.dumps(value)) / max(1, len(known) - 1)
    low, high = field.low, field.high
    if field.loguniform:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def ticks(field: Range) -> tuple[list[float], list[str]]:
    """Positions and texts of an axis's ticks."""
    if field.choice is not None:
        return [place(field, v) for v in field.choice], [short(words(v), 22) for v in field.choice]
    return [0.0, 1.0], [f"{field.low:.3g}", f"{field.high:.3g}"]


def axis(axes: Axes, at: int, heights: list[float], texts: list[str]) -> None:
    """One vertical axis with its ticks."""
    axes.plot([at, at], [0, 1], color=GREY, linewidth=0.8, zorder=0)
    for height, text in zip(heights, texts, strict=True):
        away = {0.0: (0, -8), 1.0: (0, 8)}.get(height)  # outside of the ends, where no line passes
        side = "center" if away else "right"
        axes.annotate(
            text, (at, height), xytext=away or (-4, 6), textcoords="offset points", ha=side, va="center", fontsize=8
        )


def short(text: str, limit: int = 26) -> str:
    """The end of a long name, in one line."""
    text = one_line(text)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def shown(metric: Metric, rows: Sequence[TrialRow]) -> list[float]:
    """The trials' results, scaled for display."""
    return [metric.factor * r.measured[-1] for r in rows]


def unit(metric: Metric) -> str:
    """Unit and better direction."""
    return f"{metric.symbol} {metric.arrow}".strip()
