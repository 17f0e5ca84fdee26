"""Layout: how other code bases name a backbone's weights, and how those become ours."""

import math
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from taskprompt.core.errors import SpecError

Tensors = dict[str, Tensor]
Shape = tuple[int, ...]


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
    rules: Mapping[str, str] = field(default_factory=dict[str, str])  # pattern -> replacement, as for re.sub
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


def grid_of(rows: Tensor, frames: int | None = None) -> Tensor:
    """(h w) d -> h w d; with frames (t h w) d -> t h w d. h = w. Raises SpecError for any other number of rows."""
    side = math.isqrt(len(rows) // (frames or 1))
    if len(rows) != (frames or 1) * side**2:
        of = f" for each of {frames} frames" if frames else ""
        raise SpecError(f"its table has {len(rows)} positions, expected a square{of}.")
    return rows.reshape(*([frames] if frames else []), side, side, *rows.shape[1:])
