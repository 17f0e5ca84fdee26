"""Whether a checkpoint fits a backbone; if not, why, and which backbones it would fit."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.core.layout import Tensors
from taskprompt.core.model import Backbone, Encoder
from taskprompt.core.spec import kind_of, kinds, resolve
from taskprompt.weights.file import Found
from taskprompt.weights.match import Match, match
from taskprompt.weights.report import grouped, shown

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
ENOUGH = 0.5  # share of an encoder's values that a checkpoint must have


def fitting(found: Found, place: str | Path, backbone: Backbone, encoder: Encoder, **options: Any) -> Match:
    """The match of a file with an encoder. Raises CheckpointError if it is of another architecture."""
    options |= {"anew": found.missing, "config": found.config}
    try:
        done = match(found.tensors, encoder, backbone, **options)
    except SpecError as error:
        raise CheckpointError(f"{place}: does not fit {named(backbone)}: {error.text}") from None
    unused = set(found.tensors) if done is None else set(done.unexpected) - set(done.extra)
    check_numbers(found.tensors, unused, place)
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
    elif done.settings:
        what = ", ".join(f"it has {n}: {v}, not {getattr(backbone, n)}" for n, v in done.settings.items())
    elif done.wrong:
        name, (old, new) = next(iter(done.wrong.items()))
        what = f"{len(done.wrong)} of its tensors have another shape, such as {name}: {shown(old)}, not {shown(new)}"
    elif done.extra:
        what = f"its blocks have {len(done.extra)} additional tensors, such as {grouped(done.extra, 4)}"
    else:
        what = f"it has {done.share:.0%} of the encoder's values, and lacks {grouped(done.lost or done.missing, 4)}"
    taker = next(takers(found, backbone), None)
    todo = (
        f"It fits backbone {taker}" if taker else f"None of {', '.join(kinds(Backbone))} fits it with default options"
    )
    raise CheckpointError(f"{place}: is a checkpoint of another architecture than {named(backbone)}: {what}. {todo}.")


def fits(done: Match | None) -> bool:
    """Whether all tensors of both encoders match, except for those that the layout allows to be missing."""
    if done is None or done.wrong or done.lost or done.extra or done.settings:
        return False
    return done.share >= ENOUGH


def check_numbers(found: Tensors, unused: set[str], place: str | Path) -> None:
    """Raises CheckpointError if tensors that would be loaded, all but the unused ones, are quantised, or have NaN or
    infinity."""
    for name, tensor in found.items():
        is_packed = tensor.ndim > 1 and tensor.dtype.itemsize == 1 and tensor.dtype != torch.bool
        if is_packed or (name not in unused and tensor.dtype not in (*FLOATS, torch.int64)):
            raise CheckpointError(
                f"{place}: is quantised, or has no weights: {name} is {str(tensor.dtype).removeprefix('torch.')}, "
                "expected float32, float16 or bfloat16. Use the file before quantisation."
            )
    for name, tensor in found.items():
        if name not in unused and not tensor.is_meta and not torch.isfinite(tensor.to(torch.float32)).all():
            raise CheckpointError(
                f"{place}: has NaN or infinity in {name}. Use another file, or an earlier checkpoint."
            )


def takers(found: Found, backbone: Backbone) -> Iterator[str]:
    """The backbones, of any kind and size, that fit a file's tensors; those with fewest unused tensors come first."""
    shapes, ranked = {n: t.to("meta") for n, t in found.tensors.items()}, []
    classes: list[type[Backbone]] = [type(backbone)]
    own, made_for = kinds(Backbone), found.backbone.get("kind")
    for kind in [made_for] if made_for in own else own:
        with suppress(SpecError):  # it needs a missing package
            classes.append(resolve(kind, Backbone))
    known = [cls for cls in dict.fromkeys(classes) if any(lay.prefix_in(shapes) is not None for lay in cls.layouts)]
    is_ours = any(name.removeprefix("encoder.").startswith(("stem.", "body.")) for name in shapes)
    for cls in known or (dict.fromkeys(classes) if is_ours else ()):  # building every encoder takes seconds
        for size in get_args(cls.model_fields["size"].annotation) if "size" in cls.model_fields else (None,):
            fields: dict[str, Any] = {} if size is None else {"size": size}
            for _ in range(2):  # the second time with the file's settings
                try:
                    spec = cls.model_validate(fields)
                    with torch.device("meta"):
                        encoder = spec.build(ClipSpec())
                    done = match(shapes, encoder, spec, config=found.config)
                except (SpecError, ValidationError):  # it has no defaults, or none for this clip
                    break
                if done is not None and fits(done):
                    ranked.append((len(done.unexpected) + len(done.missing), named(spec)))
                if done is None or not done.settings:
                    break
                fields |= done.settings
    yield from (name for _, name in sorted(ranked))


def named(backbone: Backbone) -> str:
    """A backbone as in a recipe: its kind, its size, and other non-default options of its architecture."""
    fields = {n: f.default for n, f in type(backbone).model_fields.items() if n not in ("mean", "std")}
    told = {n: getattr(backbone, n) for n, usual in fields.items() if n == "size" or getattr(backbone, n) != usual}
    return "{" + ", ".join(f"{n}: {v}" for n, v in ({"kind": kind_of(type(backbone))} | told).items()) + "}"
