"""Starting from a checkpoint of elsewhere, converting one, and the refusal where it is of another architecture."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.core.model import Backbone, Encoder, MultiTaskModel
from taskprompt.core.recipe import Recipe
from taskprompt.core.source import ClipSpec
from taskprompt.core.spec import kind_of, kinds, resolve
from taskprompt.core.weights import Inflate, LoadReport, Tensors, grouped, shown
from taskprompt.train.weights_file import NOTE, Found, read_weights
from taskprompt.train.weights_match import Match, match

ENOUGH = 0.5  # share of an encoder's numbers that a checkpoint must have


def starting_weights(recipe: Recipe, model: MultiTaskModel) -> tuple[Tensors, LoadReport]:
    """The tensors of the recipe's `weights` by the model's names, to be loaded, and what became of all in the file.

    Raises CheckpointError where the file cannot be read, is of another architecture, or has no head such as is asked."""
    weights, backbone = recipe.weights, recipe.backbone
    assert weights is not None
    found = read_weights(weights.path)
    done = fitting(found, weights.path, backbone, model.encoder, task=weights.head, inflate=weights.inflate)
    tensors, said = {f"encoder.{n}": t for n, t in done.tensors.items()}, "left behind"
    if weights.head is not None:
        head = head_tensors(done.head, model.heads[weights.head], weights.head, weights.path)
        tensors |= {f"heads.{weights.head}.{n}": t for n, t in head.items()}
        said = f"kept for task {weights.head}"
    return tensors, report(done, weights.path, backbone, said)


def check_weights(recipe: Recipe) -> LoadReport | None:
    """What would become of the recipe's `weights`; None where it has none. Raises CheckpointError as loading does."""
    if recipe.weights is None:
        return None
    with torch.device("meta"):
        model = MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)
    return starting_weights(recipe, model)[1]


def convert(place: Path, to: Backbone, out: Path, clip: ClipSpec | None, inflate: Inflate) -> LoadReport:
    """Write a checkpoint's tensors by our names, as safetensors that say for which backbone. Raises CheckpointError.

    clip: resize its position tables for clips of this shape; None: they stay as they are, to be resized when loaded."""
    if out.exists():
        raise CheckpointError(f"{out}: is there already. Choose another --out, or remove it.")
    found = read_weights(place)
    with torch.device("meta"):
        encoder = to.build(clip or ClipSpec())
    done = fitting(found, place, to, encoder, inflate=inflate, resize=clip is not None)
    tensors = {f"encoder.{n}": t for n, t in done.tensors.items()} | {f"head.{n}": t for n, t in done.head.items()}
    note = {"format": "pt", NOTE: json.dumps(to.model_dump(mode="json"))}
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        save_file({n: t.contiguous().clone() for n, t in tensors.items()}, draft, note)
        draft.replace(out)
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise CheckpointError(f"{out}: cannot be written: {error}. Choose another --out.") from None
    return report(done, place, to, "kept")


def report(done: Match, place: str | Path, backbone: Backbone, said: str) -> LoadReport:
    """A match as people and programs read it. said: what became of the classifier, if the file has one."""
    classes = next((len(t) for t in done.head.values() if t.ndim > 1), 0)
    return LoadReport(
        str(place),
        done.layout.name,
        kind_of(type(backbone)),
        tuple(done.tensors),
        tuple(done.missing),
        tuple(done.unexpected),
        done.resized,
        done.inflated,
        f"{classes} classes, {said}" if done.head else "none in the file",
    )


def fitting(found: Found, place: str | Path, backbone: Backbone, encoder: Encoder, **options: Any) -> Match:
    """The match of a file with an encoder. Raises CheckpointError where it is of another architecture."""
    done, kind = match(found.tensors, encoder, backbone, **options), kind_of(type(backbone))
    made_for = found.backbone.get("kind", kind)
    if done is not None and not done.wrong and done.share >= ENOUGH and made_for == kind:
        return done
    if made_for != kind:
        what = f"it was converted for kind {made_for}"
    elif done is None:
        known = ", ".join(layout.name for layout in (*backbone.layouts,)) or "none but ours"
        what = f"no layout of {kind} ({known}) has names such as {grouped(found.tensors, 4)}"
    elif done.wrong:
        name, (old, new) = next(iter(done.wrong.items()))
        what = f"{len(done.wrong)} of its tensors have another shape, such as {name}: {shown(old)}, not {shown(new)}"
    else:
        what = f"it has {done.share:.0%} of the encoder's numbers, not {grouped(done.missing, 4)}"
    fits = next(takers(found.tensors, backbone), None)
    todo = f"It fits backbone {fits}" if fits else f"No backbone of {', '.join(kinds(Backbone))} takes it"
    raise CheckpointError(f"{place}: is a checkpoint of another architecture than {named(backbone)}: {what}. {todo}.")


def takers(found: Tensors, backbone: Backbone) -> Iterator[str]:
    """The backbones, of any kind and size, that take a file's tensors: those that leave fewest behind come first."""
    shapes, ranked = {n: t.to("meta") for n, t in found.items()}, []
    classes = [type(backbone)]
    for kind in kinds(Backbone):
        with suppress(SpecError):  # needs a package that is not here
            classes.append(resolve(kind, Backbone))  # type: ignore[arg-type]
    for cls in dict.fromkeys(classes):
        for size in get_args(cls.model_fields["size"].annotation) if "size" in cls.model_fields else (None,):
            try:
                spec = cls.model_validate({} if size is None else {"size": size})
                with torch.device("meta"):
                    encoder = spec.build(ClipSpec())
            except (SpecError, ValidationError):  # it has no defaults, or not for this clip
                continue
            done = match(shapes, encoder, spec)
            if done is not None and not done.wrong and done.share >= ENOUGH:
                ranked.append((len(done.unexpected) + len(done.missing), named(spec)))
    yield from (name for _, name in sorted(ranked))


def named(backbone: Backbone) -> str:
    """A backbone as a recipe would write it: its kind, its size, and what differs from the defaults."""
    fields = type(backbone).model_fields
    told = {n: getattr(backbone, n) for n, f in fields.items() if n == "size" or getattr(backbone, n) != f.default}
    return "{" + ", ".join(f"{n}: {v}" for n, v in ({"kind": kind_of(type(backbone))} | told).items()) + "}"


def head_tensors(head: Tensors, module: nn.Module, task: str, place: str | Path) -> Tensors:
    """A checkpoint's classifier by the names of a task's head, which is one linear layer, or was saved by us."""
    own = module.state_dict()
    if not head:
        raise CheckpointError(f"{place}: holds no classifier that task {task!r} could take over. Remove weights.head.")
    if head.keys() != own.keys():
        if sorted(t.ndim for t in own.values()) != [1, 2] or sorted(t.ndim for t in head.values()) != [1, 2]:
            raise CheckpointError(
                f"{place}: its classifier has {len(head)} tensors and the head of task {task!r} has {len(own)}, expected "
                "one linear layer each. Remove weights.head."
            )
        names = {t.ndim: n for n, t in own.items()}
        head = {names[t.ndim]: t for t in head.values()}
    for name, wanted in own.items():
        if head[name].shape != wanted.shape:
            raise CheckpointError(
                f"{place}: its classifier's {name} is {shown(tuple(head[name].shape))}, task {task!r} wants "
                f"{shown(tuple(wanted.shape))}. Give the task the checkpoint's classes, or remove weights.head."
            )
    return head
