"""Tables of an evaluation: each metric with unit and direction, and a comparison with the trivial predictor."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from taskprompt.core.metrics import Metric, from_record
from taskprompt.core.task import Task

Verdict = Literal["better", "even", "worse", ""]


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one task on one source, formatted."""

    source: str
    task: str
    clips: int
    metric: Metric
    value: str
    interval: str
    trivial: str
    guess: str  # the name of the trivial predictor
    verdict: Verdict


def verdict(metric: Metric, value: float, interval: Any, trivial: float) -> Verdict:
    """Whether a value is better than the trivial predictor's; 'even' if the trivial value is inside the interval.

    Without an interval only the values are compared. Empty if either is missing or the direction is unknown."""
    if not metric.sign or not math.isfinite(value) or not math.isfinite(trivial):
        return ""
    if interval is not None and interval[0] <= trivial <= interval[1]:
        return "even"
    if value == trivial:
        return "even"
    return "better" if metric.sign * (value - trivial) > 0 else "worse"


def evaluation_lines(result: Mapping[str, Any]) -> list[Line]:
    """The results of `evaluate`, one line per metric, in the order of sources, tasks and metrics."""
    found = []
    for source, part in result["sources"].items():
        for task, numbers in part["tasks"].items():
            for name, value in numbers.get("metrics", {}).items():
                metric = from_record(name, numbers.get("measures", {}).get(name))
                interval = numbers.get("interval", {}).get(name)
                trivials = numbers.get("trivial", {})
                trivial = trivials.get(name, math.nan)
                found.append(
                    Line(
                        source=source,
                        task=task,
                        clips=numbers["clips"],
                        metric=metric,
                        value=metric.text(value),
                        interval=metric.range(interval),
                        trivial=metric.text(trivial) if trivials else "",
                        guess=numbers.get("trivial_name", Task.trivial_name) if trivials else "",
                        verdict=verdict(metric, value, interval, trivial),
                    )
                )
    return found


def evaluation_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The same as text for a terminal: source, task, clips, metric, value, 95 % interval, trivial."""
    return [
        (
            line.source,
            line.task,
            str(line.clips),
            f"{line.metric.title} {line.metric.arrow}".strip(),
            line.value,
            line.interval,
            line.trivial and f"{line.trivial} ({line.guess})",
        )
        for line in evaluation_lines(result)
    ]
