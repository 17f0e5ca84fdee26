"""What comes before a training: check a recipe, label its clips, convert a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskprompt.checks.check import Checked
from taskprompt.core.clip import ClipSpec
from taskprompt.core.events import Watch
from taskprompt.core.model import Backbone
from taskprompt.recipe.files import read, validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.weights import Inflate
from taskprompt.reporting.results import Labelling
from taskprompt.weights.report import LoadReport


def check(recipe: Recipe | str | Path, overrides: Sequence[str] = (), *, data: bool = False) -> Checked:
    """Check a recipe, or the file of one with 'a.b=value' overrides, and return it with what is known of it.

    data: also list the clips of its sources, and read some of each. Raises RecipeError with everything that is wrong:
    fields, names that do not agree, missing tables, metrics that are not measured, weights that do not fit."""
    from taskprompt.checks.check import check as job

    return job(recipe, overrides, data=data)


def label(
    recipe: Recipe | str | Path,
    names: Sequence[str] = (),
    *,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    cluster: str = "local",
    watch: Watch | None = None,
) -> Labelling:
    """Run a recipe's labelers into their tables, those of `names` or all: name -> labels there before, made, failed.

    Beside these, 'LABEL: FLAG' counts the table's answers that are empty, refused, repetitive, truncated or duplicate,
    those that reasoning was taken off, and those that a content filter stopped. limit: clips that each labeler is asked
    about, at most; those whose answers are there do not count. What a table holds already is not made again, so a job
    that was interrupted goes on. A path is read without its tables, which need not be there yet.

    Raises RecipeError, SpecError, SourceError, ClusterError."""
    from taskprompt.progress import progress
    from taskprompt.runtime.labeling.job import label as job

    if not isinstance(recipe, Recipe):
        recipe = validate(read(recipe, tuple(overrides)), str(recipe), Recipe, check_sources=False)
    with progress(watch) as told:
        return Labelling.of(job(recipe, tuple(names), cluster, told, limit))


def convert(
    file: str | Path,
    to: Backbone | dict[str, Any],
    out: str | Path,
    *,
    clip: ClipSpec | None = None,
    inflate: Inflate = "centre",
    entry: str | None = None,
) -> LoadReport:
    """Write a public checkpoint, or one of a run, as safetensors by our names, for `weights` of a recipe.

    to: the backbone, also as a recipe writes it: {"kind": "mvit", "size": "S"}. clip: resize its position tables for
    clips of this shape; None: they keep theirs, and are resized when they are loaded. inflate and entry: as in
    `Weights`.

    Raises RecipeError for a wrong backbone; CheckpointError where the file cannot be read or is of another one."""
    from taskprompt.weights.start import convert as job

    spec = to if isinstance(to, Backbone) else validate(to, "backbone", Backbone)
    return job(Path(file), spec, Path(out), clip, inflate, entry)
