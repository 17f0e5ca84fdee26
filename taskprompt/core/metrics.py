"""Metric: name, unit and direction of a number that a task measures, and how it is formatted."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from taskprompt.core.errors import SpecError

Mode = Literal["max", "min"] | None  # the direction that is better; None: neither, or unknown

NOTHING = "\u2013"  # a dash for a missing number
SYMBOLS = {"deg": "°"}  # units with another symbol
DIGITS = {"%": 1, "deg": 1, "mm": 0, "cm": 1, "m": 2, "s": 2, "ms": 0, "px": 1}  # after the point; other units have 3


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that a task's meter gives. Raises SpecError for an invalid `better` or `over`."""

    name: str  # its key in what the meter gives; no slash, since records call it source/task/name
    unit: str = ""  # of the number: m, mm, deg, s, px ...; "%": the number is a share in 0 to 1, shown in percent
    better: Mode = None  # max: more is better; min: less is; None: neither, or unknown
    over: Literal["clip", "set"] = "clip"  # clip: the mean of Task.metrics over clips; set: computed over the whole set
    title: str = ""  # in tables and on pages; default: the name without its unit

    def __post_init__(self) -> None:
        for field, known in (("better", ("max", "min", None)), ("over", ("clip", "set"))):
            if (found := getattr(self, field)) not in known:
                expected = ", ".join(map(repr, known))
                raise SpecError(f"metric {self.name!r}: {field} is {found!r}, expected one of {expected}.")
        if self.unit in ("max", "min"):
            raise SpecError(f"metric {self.name!r}: the unit is {self.unit!r}. Write Metric(name, unit, better).")
        if not self.title:
            stem = self.name.removesuffix(f"_{self.unit}") if self.unit else self.name
            object.__setattr__(self, "title", stem.replace("_", " "))

    @property
    def symbol(self) -> str:
        """The unit's symbol."""
        return SYMBOLS.get(self.unit, self.unit)

    @property
    def arrow(self) -> str:
        """An arrow in the better direction; empty if unknown."""
        return {"max": "↑", "min": "↓", None: ""}[self.better]

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is better, 0 if unknown."""
        return {"max": 1, "min": -1, None: 0}[self.better]

    def with_mode(self, mode: Mode) -> Self:
        """The same metric; `better` is `mode` where that is given."""
        return replace(self, better=mode or self.better)

    @property
    def factor(self) -> float:
        """The factor for display: 100 for shares, which are shown in percent."""
        return 100.0 if self.unit == "%" else 1.0

    def number(self, value: float) -> str:
        """A value without its unit; a dash if it is missing."""
        return f"{self.factor * value:.{DIGITS.get(self.unit, 3)}f}" if math.isfinite(value) else NOTHING

    def text(self, value: float) -> str:
        """A value with its unit."""
        return self.with_unit(self.number(value)) if math.isfinite(value) else NOTHING

    def range(self, interval: tuple[float, float] | list[float] | None) -> str:
        """An interval with its unit; empty if there is none."""
        if interval is None or not all(map(math.isfinite, interval)):
            return ""
        return self.with_unit(" to ".join(self.number(v) for v in interval))

    def with_unit(self, number: str) -> str:
        """With a no-break space before the unit, except before a degree sign."""
        return f"{number}{'' if self.symbol in ('', '°') else chr(0xA0)}{self.symbol}"

    def record(self) -> dict[str, Any]:
        """All fields but the name, for a json file in which the name is the key."""
        return {field: value for field, value in asdict(self).items() if field != "name"}


def from_record(name: str, record: Mapping[str, Any] | None) -> Metric:
    """The inverse of `record`; without a record, a metric of which only the name is known."""
    if record is None:
        return undeclared(name)
    return Metric(name, **{field: record[field] for field in ("unit", "better", "over", "title")})


def undeclared(name: str) -> Metric:
    """A metric that a task measures but does not declare: its number is shown unchanged."""
    return Metric(name, over="set")


def declared(owner: str, measures: Iterable[object]) -> dict[str, Metric]:
    """name -> metric, of the metrics that the class `owner` declares. Raises SpecError."""
    found: dict[str, Metric] = {}
    for metric in measures:
        if not isinstance(metric, Metric):
            raise SpecError(f"{owner}.measures gives a {type(metric).__name__}, expected a tuple of Metric.")
        if not metric.name or "/" in metric.name:
            raise SpecError(f"{owner}.measures names a metric {metric.name!r}, expected a name without a slash.")
        if metric.name in found:
            raise SpecError(f"{owner}.measures names the metric {metric.name!r} twice. Remove one.")
        found[metric.name] = metric
    return found
