"""Weights of elsewhere: which ones a recipe starts from, how other code bases name theirs, and what became of them."""

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import Spec, nearest

Tensors = dict[str, Tensor]
Shape = tuple[int, ...]
Inflate = Literal["centre", "mean"]


class Weights(Spec):
    """A checkpoint that the encoder starts from; read where a run starts afresh, and never again."""

    path: str  # safetensors, what torch.save wrote (.pt, .pth, .pyth), a folder of these, or a run's checkpoints/step-N
    entry: str | None = None  # which of several sets of weights in it, such as state_dict_ema; null: the report says
    head: str | None = None  # the task that takes over the checkpoint's classifier; null: every head starts anew
    inflate: Inflate = "centre"  # an image's kernel: in the middle frame, zeros around it; or shared by all frames

    def problems(self, tasks: Iterable[str]) -> Iterator[str]:
        """What is wrong with it in a recipe of these tasks."""
        if self.head is not None and self.head not in tasks:
            known = list(tasks)
            what = f"{self.head!r} is not one of the recipe's tasks{nearest(self.head, known)}"
            yield f"weights.head: {what} Known: {', '.join(known)}."


@dataclass(frozen=True, slots=True)
class Layout:
    """How a code base names a backbone's weights, and how they become ours.

    A name changes by the first rule whose pattern matches it from its start, and by no other: what the pattern matched
    is replaced, the rest stays. A name that no rule matches stays as it is. What then begins with `head.` is the
    classifier's. `change` gets the others by our names and those of the encoder, whose shapes it may need, and returns
    what to load: to split, join, copy or reshape some. It raises SpecError where it cannot.

    A checkpoint is loaded whole or refused. `anew` and `dropped` say what may differ: tensors of ours that such files
    lack, and tensors of theirs, by our names, inside the encoder's blocks that are not needed."""

    name: str  # of the code base, as reports say it
    marks: tuple[str, ...]  # names in the file that tell this layout: all of them are there
    rules: Mapping[str, str] = field(default_factory=dict)  # pattern -> replacement, as for re.sub
    prefixes: tuple[str, ...] = ("",)  # what may stand before the encoder's names; marks and rules see what is behind
    unless: tuple[str, ...] = ()  # names of models with the same marks that are others: none of them is there
    change: Callable[[Tensors, Mapping[str, Tensor]], Tensors] | None = None
    anew: tuple[str, ...] = ()  # patterns of our names, matched from their start
    dropped: tuple[str, ...] = ()  # the same
    # Fields of the backbone that a file fixes, from its tensors by our names and the configuration in it, if any.
    settings: Callable[[Tensors, str], Mapping[str, object]] | None = None

    def prefix_in(self, names: Container[str]) -> str | None:
        """What stands before the encoder's names in a file of these; None where the file has another layout."""
        for prefix in self.prefixes:
            if all(prefix + m in names for m in self.marks) and not any(prefix + u in names for u in self.unless):
                return prefix
        return None

    def ours(self, name: str) -> str:
        """Our name for one of theirs, which has no prefix any more."""
        for pattern, replacement in self.rules.items():
            new, hits = re.subn(rf"\A(?:{pattern})", replacement, name, count=1)
            if hits:
                return new
        return name


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of the tensors of a checkpoint. Names are ours, but for those left behind; shapes are old and new."""

    file: str
    layout: str  # the code base whose names it has
    kind: str  # of backbone
    matched: tuple[str, ...]  # taken over, those of another shape too
    missing: tuple[str, ...]  # not in the file: they start anew
    unexpected: tuple[str, ...]  # in the file alone: left behind
    resized: dict[str, tuple[Shape, Shape]]  # position tables
    inflated: dict[str, tuple[Shape, Shape]]  # kernels of images
    head: str  # what became of the classifier
    entry: str = ""  # which set of weights in the file was taken, where it has several
    others: tuple[str, ...] = ()  # the others
    mean: tuple[float, ...] = ()  # with which pixels are normalised
    std: tuple[float, ...] = ()
    normalization: str = ""  # both in words, and where they are from

    def text(self) -> str:
        """The report for people: some lines, names that differ in numbers alone in one."""
        parts = {
            "entry": [f"{self.entry}; also there: {', '.join(self.others)}: see weights.entry"] if self.others else [],
            "matched": [f"{len(self.matched)} of {len(self.matched) + len(self.missing)} tensors"],
            "resized": _reshaped(self.resized),
            "inflated": _reshaped(self.inflated),
            "missing": [f"{grouped(self.missing)}: these start anew"] if self.missing else [],
            "unexpected": [f"{grouped(self.unexpected)}: left behind"] if self.unexpected else [],
            "head": [self.head],
            "pixels": [self.normalization] if self.normalization else [],
        }
        rows = [(word if i == 0 else "", line) for word, lines in parts.items() for i, line in enumerate(lines)]
        head = f"{self.file}: layout {self.layout}, for {self.kind}"
        return "\n".join([head, *(f"  {word:10} {line}" for word, line in rows)])


def grid_of(rows: Tensor, frames: int | None = None) -> Tensor:
    """(h w) d -> h w d; with frames (t h w) d -> t h w d. h = w. Raises SpecError for any other number of rows."""
    side = math.isqrt(len(rows) // (frames or 1))
    if len(rows) != (frames or 1) * side**2:
        of = f" for each of {frames} frames" if frames else ""
        raise SpecError(f"its table has {len(rows)} positions, expected a square{of}.")
    return rows.reshape(*([frames] if frames else []), side, side, *rows.shape[1:])


def shown(shape: Shape) -> str:
    """111 x 96."""
    return " x ".join(map(str, shape)) or "one number"


def grouped(names: Iterable[str], most: int = 6) -> str:
    """Names, those that differ in numbers alone as one with their count: 'cls, blocks.*.norm.weight (16)'."""
    return ", ".join(_listed((re.sub(r"\d+", "*", name) for name in names), most))


def _reshaped(shapes: Mapping[str, tuple[Shape, Shape]], most: int = 8) -> list[str]:
    changes = ((re.sub(r"\d+", "*", n), f"{shown(old)} -> {shown(new)}") for n, (old, new) in shapes.items())
    return _listed((f"{name} {change}" for name, change in changes), most)


def _listed(entries: Iterable[str], most: int) -> list[str]:
    counts = Counter(entries).most_common()
    said = [f"{entry} ({count})" if count > 1 else entry for entry, count in counts[:most]]
    left = sum(count for _, count in counts[most:])
    return [*said, *([f"and {left} more"] if left else [])]
