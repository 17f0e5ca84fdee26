"""Does a checkpoint fit a backbone? If it does not: what it is, and which backbone it would fit."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError

from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.core.model import Backbone, Encoder
from taskprompt.core.source import ClipSpec
from taskprompt.core.spec import kind_of, kinds, resolve
from taskprompt.core.weights import Tensors, grouped, shown
from taskprompt.train.weights_file import Found
from taskprompt.train.weights_match import Match, match

ENOUGH = 0.5  # share of an encoder's numbers that a checkpoint must have


def fitting(found: Found, place: str | Path, backbone: Backbone, encoder: Encoder, **options: Any) -> Match:
    """The match of a file with an encoder. Raises CheckpointError where it is of another architecture."""
    try:
        done = match(found.tensors, encoder, backbone, **options)
    except SpecError as error:
        raise CheckpointError(f"{place}: does not fit {named(backbone)}: {error}") from None
    kind = kind_of(type(backbone))
    made_for = found.backbone.get("kind", kind)
    if made_for == kind and fits(done):
        assert done is not None
        return done
    if made_for != kind:
        what = f"it was converted for kind {made_for}"
    elif done is None:
        known = ", ".join(["taskprompt", *(layout.name for layout in backbone.layouts)])
        what = f"no layout of {kind} ({known}) has names such as {grouped(found.tensors, 4)}"
    elif done.wrong:
        name, (old, new) = next(iter(done.wrong.items()))
        what = f"{len(done.wrong)} of its tensors have another shape, such as {name}: {shown(old)}, not {shown(new)}"
    else:
        what = f"it has {done.share:.0%} of the encoder's numbers, and not {grouped(done.missing, 4)}"
    taker = next(takers(found.tensors, backbone), None)
    todo = f"It fits backbone {taker}" if taker else f"None of {', '.join(kinds(Backbone))} takes it at its defaults"
    raise CheckpointError(f"{place}: is a checkpoint of another architecture than {named(backbone)}: {what}. {todo}.")


def fits(done: Match | None) -> bool:
    """Has it enough of an encoder, and nothing of a wrong shape?"""
    return done is not None and not done.wrong and done.share >= ENOUGH


def takers(found: Tensors, backbone: Backbone) -> Iterator[str]:
    """The backbones, of any kind and size, that take a file's tensors: those that leave fewest behind come first."""
    shapes, ranked = {n: t.to("meta") for n, t in found.items()}, []
    classes: list[type] = [type(backbone)]
    for kind in kinds(Backbone):
        with suppress(SpecError):  # it needs a package that is not here
            classes.append(resolve(kind, Backbone))
    for cls in dict.fromkeys(classes):
        for size in get_args(cls.model_fields["size"].annotation) if "size" in cls.model_fields else (None,):
            try:
                spec = cls.model_validate({} if size is None else {"size": size})
                with torch.device("meta"):
                    encoder = spec.build(ClipSpec())
                done = match(shapes, encoder, spec)
            except (SpecError, ValidationError):  # it has no defaults, or none for this clip, or a table cannot be read
                continue
            if done is not None and fits(done):
                ranked.append((len(done.unexpected) + len(done.missing), named(spec)))
    yield from (name for _, name in sorted(ranked))


def named(backbone: Backbone) -> str:
    """A backbone as a recipe would write it: its kind, its size, and what differs from the defaults."""
    fields = type(backbone).model_fields
    told = {n: getattr(backbone, n) for n, f in fields.items() if n == "size" or getattr(backbone, n) != f.default}
    return "{" + ", ".join(f"{n}: {v}" for n, v in ({"kind": kind_of(type(backbone))} | told).items()) + "}"
