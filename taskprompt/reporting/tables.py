"""Numbers as a person reads them: a metric's name, unit and better direction, and whether it beats a constant guess."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["better", "even", "worse", ""]
Mode = Literal["max", "min"] | None  # which way is better; None: unknown

# Metrics that are shares in 0..1, shown in percent: pattern of the name -> what the page calls it. Which way is better
# is not read from names: the task says it.
SHARES = {
    r"top(\d+)": r"top-\1",
    r"delta1": "δ < 1.25",
    r"delta([23])": r"δ < 1.25^\1",
    r"within_([\d.]+)_deg": r"within \1°",
    r"mean_IoU": "mean IoU",
    r"pixel_accuracy": "pixel accuracy",
    r"(mIoU|IoU|m?AP\d*|AR\d*|accuracy|precision|recall|F1)": r"\1",
}
# Errors; the unit is the end of the name.
ERRORS = {
    r"(AbsRel|SqRel|RMSE|MSE|MAE|MPJPE|EPE)": r"\1",
    r"PA_MPJPE": "PA-MPJPE",
    r"(mean|median)": r"\1 angle",  # of a name that ends in _deg
}
UNITS = {"mm": "mm", "cm": "cm", "m": "m", "deg": "°", "s": "s", "ms": "ms", "px": "px"}
NOTHING = "\u2013"  # a dash, where there is no number
DIGITS = {"%": 1, "°": 1, "mm": 0, "cm": 1, "m": 2, "s": 2, "ms": 0, "px": 1}
# What Task.trivial of each kind answers with; a user's own task answers with some constant.
GUESSES = {
    "Action": "majority class",
    "Depth": "mean depth map",
    "Normal": "mean normal map",
    "Segmentation": "commonest class of each pixel",
    "Pose3d": "mean pose",
    "Boxes": "mean boxes",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a metric is read."""

    name: str  # as a person calls it
    unit: str  # '' where it has none; '%' for a share
    better: int  # 1: higher, -1: lower, 0: unknown

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {1: "↑", -1: "↓", 0: ""}[self.better]

    def number(self, value: float) -> str:
        """A value without its unit; a dash where there is none."""
        if not math.isfinite(value):
            return NOTHING
        shown = 100 * value if self.unit == "%" else value
        return f"{shown:.{DIGITS.get(self.unit, 3)}f}"

    def text(self, value: float) -> str:
        """A value with its unit."""
        return self.with_unit(self.number(value)) if math.isfinite(value) else NOTHING

    def range(self, interval: tuple[float, float] | list[float] | None) -> str:
        """An interval with its unit; empty where there is none."""
        if interval is None or not all(map(math.isfinite, interval)):
            return ""
        return self.with_unit(" to ".join(self.number(v) for v in interval))

    def with_unit(self, number: str) -> str:
        """A no-break space stands before a unit, none before a degree sign."""
        return f"{number}{'' if self.unit in ('', '°') else chr(0xA0)}{self.unit}"


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one task on one source, ready to print."""

    source: str
    task: str
    clips: int
    reading: Reading
    value: str
    interval: str
    trivial: str
    guess: str  # the name of the trivial predictor
    verdict: Verdict


def reading(metric: str, mode: Mode = None) -> Reading:
    """The reading of a metric's name; mode: which way is better, as the task or the sweep says.

    `_image` at the end of a name: a mean over single frames."""
    better = {"max": 1, "min": -1}.get(mode or "", 0)
    stem = metric.removesuffix("_image")
    frames = ", by frame" if stem != metric else ""
    for pattern, name in SHARES.items():
        if found := re.fullmatch(pattern, stem):
            return Reading(found.expand(name) + frames, "%", better)
    head, _, tail = stem.rpartition("_")
    unit = UNITS.get(tail, "") if head else ""
    name = head if unit else stem
    for pattern, known in ERRORS.items():
        angle = pattern.startswith("(mean")
        if (found := re.fullmatch(pattern, name)) and (not angle or unit == "°"):
            return Reading(found.expand(known) + frames, unit, better)
    return Reading(name.replace("_", " ") + frames, unit, better)


def verdict(better: int, value: float, interval: Any, trivial: float) -> Verdict:
    """Is a value better than the trivial predictor's? 'even' where the trivial number lies inside the interval.

    Without an interval the values alone decide. Empty where either is missing or the direction is unknown."""
    if not better or not math.isfinite(value) or not math.isfinite(trivial):
        return ""
    if interval is not None and interval[0] <= trivial <= interval[1]:
        return "even"
    if value == trivial:
        return "even"
    return "better" if better * (value - trivial) > 0 else "worse"


def evaluation_lines(result: Mapping[str, Any]) -> list[Line]:
    """What `evaluate` measured, a line a metric, in the order of sources, tasks and metrics."""
    found = []
    for source, part in result["sources"].items():
        for task, numbers in part["tasks"].items():
            for metric, value in numbers.get("metrics", {}).items():
                interval = numbers.get("interval", {}).get(metric)
                trivials = numbers.get("trivial", {})
                trivial = trivials.get(metric, math.nan)
                r = reading(metric, numbers.get("better", {}).get(metric))
                found.append(
                    Line(
                        source=source,
                        task=task,
                        clips=numbers["clips"],
                        reading=r,
                        value=r.text(value),
                        interval=r.range(interval),
                        trivial=r.text(trivial) if trivials else "",
                        guess=GUESSES.get(numbers["kind"], "best constant") if trivials else "",
                        verdict=verdict(r.better, value, interval, trivial),
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
            f"{line.reading.name} {line.reading.arrow}".strip(),
            line.value,
            line.interval,
            line.trivial and f"{line.trivial} ({line.guess})",
        )
        for line in evaluation_lines(result)
    ]
