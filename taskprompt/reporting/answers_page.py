"""The page of a recipe's label tables: clips with their key frames and answers."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from taskprompt.core.errors import SampleError, SourceError, SpecError
from taskprompt.core.files import ELSEWHERE, check_writable, write
from taskprompt.core.labeler import Labeler
from taskprompt.core.moment import Middle
from taskprompt.core.source import Source
from taskprompt.core.types import Row
from taskprompt.data.reader import load
from taskprompt.labels import table as label_table
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting.page import environment
from taskprompt.reporting.strips import data_uri, spread, tile

CLIPS = 12  # shown per labeler
EXAMPLES = 3  # clips per reason


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    label: str
    text: str
    flags: tuple[str, ...]  # quality flags
    error: str  # why there is none


@dataclass(frozen=True, slots=True)
class Shown:
    """One clip: its frames side by side as a png in a `data:` URI, and its answers."""

    key: str
    image: str
    width: int  # pixels
    height: int
    said: list[Said]


def write_answers_page(recipe: Recipe, folder: Path | None = None) -> Path:
    """Write answers.html to a folder, by default next to the table of the recipe's first labeler; returns its path.

    Raises SpecError if the recipe has no labeler, SourceError if there is no table yet."""
    if not recipe.labelers:
        raise SpecError("report: the recipe has no `labelers`, so no answers. Give a run, or a recipe that has some.")
    tables = {n: spec for n, spec in recipe.labelers.items() if label_table.files(spec.table)}
    if not tables:
        raise SourceError("report: no labeler of the recipe has a table yet. Write them with `taskprompt label`.")
    folder = folder or Path(next(iter(tables.values())).table)
    check_writable(folder, ELSEWHERE)
    parts = [part(recipe, name, labeler) for name, labeler in tables.items()]
    page = environment().get_template("answers.html.jinja").render(parts=parts)
    return write(folder / "answers.html", page, ELSEWHERE)


def part(recipe: Recipe, name: str, labeler: Labeler) -> dict[str, Any]:
    """The template's data of one labeler."""
    rows = newest(labeler.table)
    table = label_table.open_table(labeler.table)
    labels = sorted({label for _, label in rows})
    used = [label_table.used_of(row) for row in rows.values() if not row["error"]]
    reasons: dict[str, list[str]] = {}
    for (key, _), row in rows.items():
        if row["error"]:
            reasons.setdefault(row["error"], []).append(key)
    counts = table.counts()
    return {
        "name": name,
        "table": labeler.table,
        "clips": len({key for key, _ in rows}),
        "answers": len(used),
        "failed": sum(map(len, reasons.values())),
        "tokens": sum(n for u in used if isinstance(n := u.get("tokens", 0), int)),
        "labels": [(n, Counter(counts.get(n, {})), len(table.at.get(n, ()))) for n in labels],
        "reasons": [(why, len(keys), keys[:EXAMPLES]) for why, keys in sorted(reasons.items())],
        "shown": list(shown(recipe, labeler, rows, table.flagged)),
    }


def newest(folder: str) -> dict[tuple[str, str], label_table.Record]:
    """clip, label -> the valid row: the newest answer, else the newest failure."""
    found: dict[tuple[str, str], label_table.Record] = {}
    for row in label_table.read(folder).drop_columns(["array"]).to_pylist():
        at = row["key"], row["label"]
        if at not in found or not row["error"] or found[at]["error"]:
            found[at] = row
    return found


def shown(recipe: Recipe, labeler: Labeler, rows: dict, flagged: dict) -> Iterator[Shown]:
    """A few clips, spread over the sources' lists; those that cannot be read are skipped."""
    by_clip: dict[str, list[Said]] = {}
    for (key, label), row in rows.items():
        by_clip.setdefault(key, []).append(Said(label, text(row), flagged.get(label, {}).get(key, ()), row["error"]))
    groups = [*recipe.sources.items(), *recipe.held_out.items()]
    asked = [source for name, source in groups if labeler.sources is None or name in labeler.sources]
    listed = [(source, row) for source in asked for row in source.rows() if row["key"] in by_clip]
    for place in spread(len(listed), CLIPS):
        source, row = listed[place]
        image = strip(source, row, labeler, recipe)
        if image is not None:
            yield Shown(row["key"], data_uri(image), *image.size, sorted(by_clip[row["key"]], key=lambda s: s.label))


def strip(source: Source, row: Row, labeler: Labeler, recipe: Recipe) -> Image.Image | None:
    """The labeler's input frames, or the recipe's clip if it has none; None if they cannot be read."""
    bare = source.model_copy(update={"tables": ()})
    try:
        video = load(bare, row, labeler.clip(recipe.clip) or recipe.clip, Middle()).clip.video
    except SampleError:
        return None
    return Image.fromarray(np.concatenate([np.asarray(tile(frame)) for frame in video], 1))


def text(row: label_table.Record) -> str:
    """An answer as text or JSON; empty for an array."""
    if row["value"] is None or row["form"] not in ("text", "embedding", "json"):
        return ""
    try:
        value = label_table.parsed(row["value"])
        return value if isinstance(value, str) else json.dumps(value)
    except (ValueError, RecursionError):
        return "(damaged row)"
