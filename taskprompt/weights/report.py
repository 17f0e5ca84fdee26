"""The report on loading a checkpoint."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taskprompt.core.layout import Shape
from taskprompt.core.model import Backbone
from taskprompt.core.normalization import Normalization
from taskprompt.core.spec import kind_of


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How the tensors of a checkpoint were loaded. Names are ours, except for unused tensors; shapes are old and
    new."""

    file: str
    layout: str  # the code base of its names
    kind: str  # of backbone
    matched: tuple[str, ...]  # loaded, including those of another shape
    missing: tuple[str, ...]  # not in the file: randomly initialised
    unexpected: tuple[str, ...]  # only in the file: not loaded
    resized: dict[str, tuple[Shape, Shape]]  # position embeddings
    inflated: dict[str, tuple[Shape, Shape]]  # 2D kernels
    head: str = ""  # whether the classifier was loaded
    entry: str = ""  # the loaded set of weights, if the file has several
    others: tuple[str, ...] = ()  # the other sets
    mean: tuple[float, ...] = ()  # of the normalisation
    std: tuple[float, ...] = ()
    normalization: str = ""  # both as text, and their origin
    parts: tuple[str, ...] = ()  # the modules that were loaded from a run
    differs: tuple[str, ...] = ()  # options of these parts that differ in the run's recipe

    def text(self) -> str:
        """The report as text; names that differ only in numbers are grouped."""
        parts = {
            "entry": [f"{self.entry}; also there: {', '.join(self.others)}: see weights.entry"] if self.others else [],
            "parts": [", ".join(self.parts)] if self.parts else [],
            "differs": _listed(self.differs, 8),
            "matched": [f"{len(self.matched)} of {len(self.matched) + len(self.missing)} tensors"],
            "resized": _reshaped(self.resized),
            "inflated": _reshaped(self.inflated),
            "missing": [f"{grouped(self.missing)}: randomly initialised"] if self.missing else [],
            "unexpected": [f"{grouped(self.unexpected)}: not loaded"] if self.unexpected else [],
            "head": [self.head] if self.head else [],
            "pixels": [self.normalization] if self.normalization else [],
        }
        rows = [(word if i == 0 else "", line) for word, lines in parts.items() for i, line in enumerate(lines)]
        head = f"{self.file}: {'parts of a run' if self.parts else f'layout {self.layout}'}, for {self.kind}"
        return "\n".join([head, *(f"  {word:10} {line}" for word, line in rows)])


def pixels(backbone: Backbone, stated: Normalization | None) -> str:
    """The mean and std of a backbone as text, with their origin, compared with the stated ones."""
    own = Normalization(backbone.mean, backbone.std, "")
    fields = type(backbone).model_fields
    usual = (own.mean, own.std) == (fields["mean"].default, fields["std"].default)
    if stated is not None and (stated.mean, stated.std) == (own.mean, own.std):
        return f"{own.text()}, as {stated.where} says"
    whose = f"the default of {kind_of(type(backbone))}" if usual else "from the recipe"
    if stated is None:
        return f"{own.text()}, {whose}"
    return f"{own.text()}, {whose}; but {stated.where} says {stated.text()}: set backbone.mean and std to use these"


def shown(shape: Shape) -> str:
    """111 x 96."""
    return " x ".join(map(str, shape)) or "one number"


def grouped(names: Iterable[str], most: int = 6) -> str:
    """Names, grouped if they differ only in numbers: 'cls, blocks.*.norm.weight (16)'."""
    return ", ".join(_listed((re.sub(r"\d+", "*", name) for name in names), most))


def _reshaped(shapes: Mapping[str, tuple[Shape, Shape]], most: int = 8) -> list[str]:
    changes = ((re.sub(r"\d+", "*", n), f"{shown(old)} -> {shown(new)}") for n, (old, new) in shapes.items())
    return _listed((f"{name} {change}" for name, change in changes), most)


def _listed(entries: Iterable[str], most: int) -> list[str]:
    counts = Counter(entries).most_common()
    said = [f"{entry} ({count})" if count > 1 else entry for entry, count in counts[:most]]
    left = sum(count for _, count in counts[most:])
    return [*said, *([f"and {left} more"] if left else [])]
