"""Loading a pretrained checkpoint, and converting one."""

import json
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import CheckpointError
from taskprompt.core.layout import Tensors
from taskprompt.core.model import Backbone, MultiTaskModel
from taskprompt.core.normalization import Normalization, beside, of_mapping
from taskprompt.core.spec import kind_of
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.weights import Inflate
from taskprompt.weights.file import MISSING, NOTE, Found, newest, read_weights
from taskprompt.weights.fit import fitting
from taskprompt.weights.match import Match
from taskprompt.weights.parts import load_parts
from taskprompt.weights.report import LoadReport, pixels, shown


def starting_weights(
    recipe: Recipe, model: MultiTaskModel, place: str | Path | None = None
) -> tuple[Tensors, LoadReport]:
    """The tensors of the recipe's `weights` by the model's names, to be loaded, and a report.

    place: the checkpoint to read; None: that of the recipe, for a run the newest. Raises CheckpointError if the file
    cannot be read, is of another architecture, or lacks a requested head or part; SpecError for a part that is not in
    the model."""
    weights, backbone = recipe.weights, recipe.backbone
    assert weights is not None
    place = newest(weights.path) if place is None else place
    if weights.parts is not None:
        return load_parts(recipe, model, place)
    found = read_weights(place, weights.entry)
    done = fitting(found, place, backbone, model.encoder, task=weights.head, inflate=weights.inflate)
    tensors, said = {f"encoder.{n}": t for n, t in done.tensors.items()}, "not loaded"
    if weights.head is not None:
        head = head_tensors(done.head, model.heads[weights.head], weights.head, place)
        tensors |= {f"heads.{weights.head}.{n}": t for n, t in head.items()}
        said = f"kept for task {weights.head}"
    return tensors, report(found, done, place, backbone, said)


def check_weights(recipe: Recipe) -> LoadReport | None:
    """The report on loading the recipe's `weights`; None if it has none. Raises CheckpointError like loading."""
    if recipe.weights is None:
        return None
    with torch.device("meta"):
        model = MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)
    return starting_weights(recipe, model)[1]


def convert(
    place: Path, to: Backbone, out: Path, clip: ClipSpec | None, inflate: Inflate, entry: str | None
) -> LoadReport:
    """Write a checkpoint's tensors with our names, as safetensors with the backbone in metadata. Raises
    CheckpointError.

    clip: resize its position embeddings for clips of this shape; None: unchanged, to be resized when loaded."""
    if out.exists():
        raise CheckpointError(f"{out}: is there already. Choose another --out, or remove it.")
    found = read_weights(place, entry)
    to = to.normalized_as(beside(place) or to.normalization())
    with torch.device("meta"):
        encoder = to.build(clip or ClipSpec())
    done = fitting(found, place, to, encoder, inflate=inflate, resize=clip is not None)
    tensors = {f"encoder.{n}": t for n, t in done.tensors.items()} | {f"head.{n}": t for n, t in done.head.items()}
    note = {"format": "pt", NOTE: json.dumps(to.model_dump(mode="json")), MISSING: json.dumps(done.missing)}
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        save_file({n: t.contiguous().clone() for n, t in tensors.items()}, draft, note)
        draft.replace(out)
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise CheckpointError(f"{out}: cannot be written: {error}. Choose another --out.") from None
    return report(found, done, place, to, "kept")


def report(found: Found, done: Match, place: str | Path, backbone: Backbone, said: str) -> LoadReport:
    """The report on a match. said: whether the classifier is loaded, if the file has one."""
    matrices = [len(t) for t in done.head.values() if t.ndim == 2]
    what = f"{matrices[0]} classes" if len(done.head) <= 2 and matrices else f"{len(done.head)} tensors"
    return LoadReport(
        str(place),
        done.layout.name,
        kind_of(type(backbone)),
        tuple(done.tensors),
        tuple(done.missing),
        tuple(done.unexpected),
        done.resized,
        done.inflated,
        f"{what}, {said}" if done.head else "none in the file",
        found.entry,
        found.others,
        backbone.mean,
        backbone.std,
        pixels(backbone, beside(place) or backbone.normalization() or of_slowfast(found.config)),
    )


def of_slowfast(config: str) -> Normalization | None:
    """From the configuration in SlowFast's files."""
    lists = {n: re.search(rf"^  {n}:\n((?:  - [0-9.]+\n){{3}})", config, re.MULTILINE) for n in ("MEAN", "STD")}
    numbers = {n.lower(): [float(v) for v in found[1].split()[1::2]] for n, found in lists.items() if found}
    return of_mapping(numbers, "the configuration in it")


def head_tensors(head: Tensors, module: nn.Module, task: str, place: str | Path) -> Tensors:
    """A checkpoint's classifier with the names of a task's head: one linear layer, or a head saved by taskprompt."""
    own = module.state_dict()
    if not head:
        raise CheckpointError(f"{place}: has no classifier for task {task!r}. Remove weights.head.")
    if head.keys() != own.keys():
        if sorted(t.ndim for t in own.values()) != [1, 2] or sorted(t.ndim for t in head.values()) != [1, 2]:
            raise CheckpointError(
                f"{place}: its classifier has {len(head)} tensors and the head of task {task!r} has {len(own)}, "
                "expected one linear layer each. Remove weights.head."
            )
        names = {t.ndim: n for n, t in own.items()}
        head = {names[t.ndim]: t for t in head.values()}
    for name, wanted in own.items():
        if head[name].shape != wanted.shape:
            raise CheckpointError(
                f"{place}: its classifier's {name} is {shown(tuple(head[name].shape))}, task {task!r} needs "
                f"{shown(tuple(wanted.shape))}. Give the task the checkpoint's classes, or remove weights.head."
            )
    return head
