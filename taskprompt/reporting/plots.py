"""Curves of a run as inline SVG in small panels, for a responsive layout."""

import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from taskprompt.core.metrics import Metric
from taskprompt.core.text import shown as shown_text

COLOURS = (
    "#3b82f6",
    "#f59e0b",
    "#10b981",
    "#a855f7",
    "#ef4444",
    "#14b8a6",
    "#ec4899",
    "#84cc16",
)  # for light and dark themes
GREY = "#8a8f98"  # axes and ticks, for light and dark themes
POINTS = 400  # of a raw curve, to limit the size of the page
SMOOTH = 30  # a smoothed curve averages over 1/30 of the steps
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text as text, for the page's font and colour, search and screen readers
    "svg.hashsalt": "taskprompt",  # deterministic output
    "text.parse_math": False,  # '$' in a name is not a formula
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": GREY,
    "grid.alpha": 0.2,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One small plot: an svg element with title and note."""

    title: str
    svg: str
    note: str = ""  # next to the title
    first: bool = True  # of its task


def loss_panels(records: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """metrics.jsonl -> one panel per task: the loss of every step, faint, and its running mean."""
    names = {k for r in records for k in r if k.startswith("loss/")}
    ordered = [n for n in dict.fromkeys(k for r in records for k in r) if n in names]
    if len(ordered) > 1:
        ordered.append("loss")
    panels = []
    for i, name in enumerate(ordered):
        steps, values = column(records, name)
        if not len(steps):
            continue
        figure, axes = panel_axes()
        colour = GREY if name == "loss" else COLOURS[i % len(COLOURS)]
        smooth, stride = running_mean(values, max(1, len(values) // SMOOTH)), math.ceil(len(values) / POINTS)
        axes.plot(steps[::stride], values[::stride], color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(steps[::stride], smooth[::stride], color=colour, linewidth=1.8)
        axes.set_ylim(*limits(values, smooth))
        title = "all tasks, weighted" if name == "loss" else name.removeprefix("loss/")
        panels.append(Panel(title, to_svg(figure, f"loss of {title} over steps"), f"{smooth[-1]:.3g} at the end"))
    return panels


def rate_panel(records: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """metrics.jsonl -> the learning rate of every step."""
    steps, values = column(records, "lr")
    if not len(steps):
        return []
    figure, axes = panel_axes()
    stride = math.ceil(len(values) / POINTS)
    axes.plot(steps[::stride], values[::stride], color=GREY, linewidth=1.8)
    axes.set_ylim(0, 1.05 * values.max())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
    return [Panel("learning rate", to_svg(figure, "learning rate over steps"), f"{values.max():.2g} at its peak")]


def held_out_panels(records: Sequence[Mapping[str, Any]], metric_at: Callable[[str], Metric]) -> list[Panel]:
    """held_out.jsonl -> one panel per task and metric with two evaluations or more, one line per source.

    metric_at: source/task/metric -> Metric."""
    keys = dict.fromkeys(k for r in records for k in r if k.count("/") >= 2)
    groups: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        _, task, name = key.rsplit("/", 2)
        groups.setdefault((task, name), []).append(key)
    sources = list(dict.fromkeys(k.rsplit("/", 2)[0] for k in keys))
    panels, seen = [], set()
    for (task, _), members in groups.items():
        metric = metric_at(members[0])
        figure, axes = panel_axes()
        longest = 0
        for key in members:
            steps, values = column(records, key)
            longest = max(longest, len(steps))
            colour = COLOURS[sources.index(key.rsplit("/", 2)[0]) % len(COLOURS)]
            axes.plot(steps, metric.factor * values, color=colour, linewidth=1.8, marker="o", markersize=3)
        if longest < 2:
            continue
        note = " ".join(x for x in (metric.symbol, metric.arrow) if x)
        svg = to_svg(figure, f"{task} {metric.title} over steps")
        panels.append(Panel(f"{task}: {metric.title}", svg, note, first=task not in seen))
        seen.add(task)
    return panels


def source_colours(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """held_out.jsonl -> the colour of each source's lines."""
    sources = dict.fromkeys(k.rsplit("/", 2)[0] for r in records for k in r if k.count("/") >= 2)
    return {s: COLOURS[i % len(COLOURS)] for i, s in enumerate(sources)}


def column(records: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps and values of the records with a finite value of this name."""
    pairs = [(r["step"], r[name]) for r in records if math.isfinite(r.get(name, math.nan))]
    steps, values = np.asarray(pairs, float).reshape(-1, 2).T
    return steps, values


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """n -> n: the mean over `window` values around each, over fewer near the ends."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    at = np.arange(len(values))
    low, high = np.maximum(at - window // 2, 0), np.minimum(at + (window + 1) // 2, len(values))
    return (sums[high] - sums[low]) / (high - low)


def limits(values: np.ndarray, smooth: np.ndarray) -> tuple[float, float]:
    """Limits of an axis: all of the smoothed curve, and 99 % of the raw one."""
    low, high = np.quantile(values, (0.01, 0.99))
    low, high = min(low, smooth.min()), max(high, smooth.max())
    margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return (0.0 if 0 <= low < 0.5 * high else low - margin), high + margin


def panel_axes() -> tuple[Figure, Axes]:
    """An empty small plot over steps."""
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6, 2.1), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(True, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(length=2)
    return figure, axes


def to_svg(figure: Figure, label: str) -> str:
    """Only the svg element, for inline use in html, with a label for screen readers."""
    file = io.StringIO()
    with rc_context(STYLE):
        for text in figure.findobj(Text):
            text.set_parse_math(False)  # also for texts created outside of this context
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    return element.replace("<svg", f'<svg role="img" aria-label="{html.escape(shown_text(label))}"', 1)
