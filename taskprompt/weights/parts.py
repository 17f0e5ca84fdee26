"""Loading parts of another run's model, strictly and without resizing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskprompt.core.errors import CheckpointError, RecipeError, nearest
from taskprompt.core.layout import Tensors
from taskprompt.core.model import MultiTaskModel
from taskprompt.core.normalization import beside, run_of
from taskprompt.core.spec import kind_of
from taskprompt.recipe.build import check_parts, is_in
from taskprompt.recipe.files import read
from taskprompt.recipe.recipe import Recipe
from taskprompt.weights.file import read_weights
from taskprompt.weights.fit import check_numbers
from taskprompt.weights.report import LoadReport, grouped, pixels, shown


def load_parts(recipe: Recipe, model: MultiTaskModel, place: str | Path) -> tuple[Tensors, LoadReport]:
    """The tensors of the parts that `weights` names, and a report on the checkpoint.

    Raises SpecError for a part that is not in the model; CheckpointError if the checkpoint cannot be read, or does not
    have all of a part in this model's shapes."""
    weights, backbone = recipe.weights, recipe.backbone
    assert weights is not None
    assert weights.parts is not None
    check_parts("weights.parts", weights.parts, model)
    found = read_weights(place, weights.entry)
    own = model.state_dict()
    for part in weights.parts:
        check_part(part, own, found.tensors, place)
    chosen = {n: found.tensors[n] for n in own if any(is_in(n, part) for part in weights.parts)}
    check_numbers(chosen, set(), place)
    stated = beside(place) if weights.has_encoder() else None
    report = LoadReport(
        str(place),
        "taskprompt",
        kind_of(type(backbone)),
        tuple(chosen),
        missing=tuple(n for n in own if n not in chosen),
        unexpected=tuple(n for n in found.tensors if n not in chosen),
        resized={},
        inflated={},
        entry=found.entry,
        others=found.others,
        mean=backbone.mean,
        std=backbone.std,
        normalization=pixels(backbone, stated or backbone.normalization()),
        parts=weights.parts,
        differs=tuple(differences(recipe, place)),
    )
    return {n: t.to(own[n].dtype) for n, t in chosen.items()}, report


def check_part(part: str, own: Tensors, found: Tensors, place: str | Path) -> None:
    """Raises CheckpointError unless the tensors of one part have the names and shapes of ours."""
    wanted, there = ({n: t for n, t in tensors.items() if is_in(n, part)} for tensors in (own, found))
    if not wanted:
        raise CheckpointError(f"weights.parts: {part} has no weights in this model. Remove it.")
    if not there:
        known = sorted({".".join(n.split(".")[: 2 if n.startswith("heads.") else 1]) for n in found})
        raise CheckpointError(
            f"{place}: has no weights of {part!r}{nearest(part, known)} Found: {grouped(known)}. "
            "Give parts that it has, or another run."
        )
    if lost := [n for n in wanted if n not in there]:
        what = f"lacks {len(lost)} of its {len(wanted)} tensors, such as {grouped(lost, 3)}"
    elif extra := [n for n in there if n not in wanted]:
        what = f"has {len(extra)} tensors that this model lacks, such as {grouped(extra, 3)}"
    elif wrong := [n for n, t in wanted.items() if there[n].shape != t.shape]:
        name = wrong[0]
        sizes = f"found {shown(tuple(there[name].shape))}, expected {shown(tuple(wanted[name].shape))}"
        what = f"has {len(wrong)} tensors of another shape, such as {name}: {sizes}"
    else:
        return
    raise CheckpointError(
        f"{place}: its {part!r} does not match this recipe: it {what}. Use the options that it was trained with, or "
        "remove the part from weights.parts."
    )


def differences(recipe: Recipe, place: str | Path) -> Iterator[str]:
    """Options of the parts that differ in the run's recipe; not all affect shapes, such as which tokens a backbone
    reads. Empty if the checkpoint is outside of its run."""
    run = run_of(place)
    if run is None or recipe.weights is None or recipe.weights.parts is None:
        return
    try:
        there, here = read(run / "recipe.yaml"), recipe.model_dump(mode="json")
    except RecipeError as error:
        raise CheckpointError(f"{run}: its recipe.yaml cannot be read: {' '.join(error.problems)}") from None
    fields = {"encoder": "backbone", "prompter": "prompter"}
    for part in recipe.weights.parts:
        top, *inner = part.split(".")
        names = [fields[top]] if top in fields else [f"tasks.{n}" for n in (inner[:1] or recipe.tasks)]
        for name in names:
            yield from _compared(name, _at(there, name), _at(here, name))
    if any(top in ("encoder", "heads") for top in (p.split(".")[0] for p in recipe.weights.parts)):
        yield from _compared("clip", _at(there, "clip"), _at(here, "clip"))


def _at(data: Any, name: str) -> Any:
    for key in name.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _compared(name: str, there: Any, here: Any) -> Iterator[str]:
    if not isinstance(there, dict) or not isinstance(here, dict):
        return
    for key in here:
        if key not in ("mean", "std") and key in there and there[key] != here[key]:
            yield f"{name}.{key}: the run has {_short(there[key])}, the recipe {_short(here[key])}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
