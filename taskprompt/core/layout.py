"""Layout: how other code bases name a backbone's weights, and how these map to ours."""

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
    """How a code base names a backbone's weights, and how they map to ours.

    Only the first rule whose pattern matches the start of a name is applied: the match is replaced, the rest is kept.
    A name that no rule matches is kept. Names that then begin with `head.` belong to the classifier. `change` gets the
    other tensors by our names, and the encoder's own tensors, whose shapes it may need; it returns the tensors to load:
    it may split, join, copy or reshape them. It raises SpecError if it cannot.

    All tensors must match, or the checkpoint is rejected, with two exceptions: `anew`, our tensors that such files
    lack, which are randomly initialised; and `dropped`, tensors in the file's blocks, by our names, that we do not
    need."""

    name: str  # of the code base, in reports
    marks: tuple[str, ...]  # names that identify this layout: a file has all of them
    rules: Mapping[str, str] = field(default_factory=dict[str, str])  # pattern -> replacement, as for re.sub
    prefixes: tuple[str, ...] = ("",)  # possible prefixes of the encoder's names; marks and rules apply without them
    unless: tuple[str, ...] = ()  # names of other models with the same marks: a file has none of them
    change: Callable[[Tensors, Mapping[str, Tensor]], Tensors] | None = None
    anew: tuple[str, ...] = ()  # patterns for the start of our names
    dropped: tuple[str, ...] = ()  # patterns for the start of our names
    # Fields of the backbone that a file determines, from its tensors by our names and its configuration, if any.
    settings: Callable[[Tensors, str], Mapping[str, object]] | None = None

    def prefix_in(self, names: Container[str]) -> str | None:
        """The prefix of the encoder's names in a file with these names; None if the file has another layout."""
        for prefix in self.prefixes:
            if all(prefix + m in names for m in self.marks) and not any(prefix + u in names for u in self.unless):
                return prefix
        return None

    def ours(self, name: str) -> str:
        """Our name for one of theirs, without prefix."""
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
