"""Errors in a recipe's data: sources without clips, tables without their clips, clips that cannot be read."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from taskprompt.core.errors import ErrorRecord, told
from taskprompt.core.source import Source
from taskprompt.core.task import Task
from taskprompt.core.text import one_line
from taskprompt.core.types import Clip, Sample
from taskprompt.data.batch import has
from taskprompt.data.reader import Reader, table_of
from taskprompt.labels.join import opened
from taskprompt.recipe.recipe import Recipe

READ = 8  # clips to read per source


def listing_problems(recipe: Recipe) -> Iterator[str]:
    """Sources that list no clip, such as a misspelt split or an empty share. Only the first clip is listed."""
    for where, source in _sources(recipe):
        try:
            if next(iter(source.rows()), None) is None:
                yield f"{where}: lists no clips. Check its path, split and filters."
        except Exception as error:
            yield f"{where}: {told(error)}"


def table_problems(recipe: Recipe) -> Iterator[str]:
    """Labels of tables that a task cannot use, such as embeddings of another width; one of each label is checked."""
    dims = recipe.dims()
    clip = Clip(np.zeros((dims.frames, dims.height, dims.width, 3), np.uint8), np.arange(dims.frames) / 8)
    said = set()
    for where, source in _sources(recipe):
        for name, task, key, value in _first_labels(source, recipe.tasks):
            if not (isinstance(value, dict) and "vectors" in value):  # other labels may depend on the clip's size
                continue
            try:
                task.target(value, Sample(key, clip, {task.label_name(name): value}))
            except Exception as error:
                line = f"tasks.{name}: {task.label_name(name)!r} of {where}, clip {key!r}: {told(error)}"
                if (name, told(error)) not in said:
                    yield line
                said.add((name, told(error)))


def _first_labels(source: Source, tasks: Mapping[str, Task]) -> Iterator[tuple[str, Task, str, object]]:
    for table in source.tables:
        try:
            found = opened(table)
            for name, task in tasks.items():
                label = task.label_name(name)
                key = next(iter(found.at.get(label, ())), None)
                if key is not None:
                    yield name, task, key, found.of(key, [label])[label]
        except Exception:
            return  # already reported


def look(recipe: Recipe) -> tuple[list[str], list[str]]:
    """A line per source on its data, and problems. A few clips of each are read, as in training."""
    notes, problems = [], []
    for where, source in _sources(recipe):
        try:
            table = table_of(source.rows())
            if not len(table):
                continue  # reported by `listing_problems`
            tasks = recipe.tasks_of(where.partition(".")[2], source)
        except Exception as error:
            problems.append(f"{where}: {told(error)}")
            continue
        problems += _mistakes(recipe, where, source, table)
        carried, unknown = _joined(where, source, tasks, table)
        problems += unknown
        notes.append(f"{where}: {len(table)} clips{carried}; {_read(recipe, where, source, tasks, table, problems)}")
    return notes, problems


def _mistakes(recipe: Recipe, where: str, source: Source, rows: pa.Table) -> list[str]:
    """Errors of a source's rows for the tasks that read it: unlisted classes, misspelt names."""
    group, _, name = where.partition(".")
    tasks = recipe.tasks_of(name, source) if group == "sources" else recipe.measured(name, source)
    return [f"{where}: {line}" for line in source.mistakes(rows, tasks)]


def _joined(where: str, source: Source, tasks: Mapping[str, Task], rows: pa.Table) -> tuple[str, list[str]]:
    """How many of the clips are in the tables, and labels whose table has none of them."""
    keys, words, problems = set(rows["key"].to_pylist()), "", []
    for table in source.tables:
        found = opened(table)
        for label in sorted({r for n, t in tasks.items() for r in t.required_labels(n)} & set(found.labels)):
            count = len(keys & set(found.at[label]))
            words += f", {count} with {label}"
            if not count:
                key, other = next(iter(rows["key"].to_pylist())), next(iter(found.at[label]))
                problems.append(
                    f"{where}: table {table.path} has {label!r} for none of its {len(rows)} clips: the clips have "
                    f"keys such as {key!r}, the table {other!r}. Label this source, or join its own table."
                )
    return words, problems


def _read(recipe: Recipe, where: str, source: Source, tasks: Mapping[str, Task], rows: pa.Table, problems) -> str:
    """Read some clips, and report how many can be used. If none can, that is a problem."""
    reader = Reader(where, source, tasks, recipe.clip, None, recipe.dims(), 0, rows)
    places = sorted({round(i * (len(rows) - 1) / max(1, READ - 1)) for i in range(READ)})
    reasons, labelled = [], dict.fromkeys(tasks, 0)
    try:
        for place in places:
            row = reader.read(place)
            if error := str(row["error"]):
                reasons.append(f"{row['key']}: {one_line(ErrorRecord.loads(error).text)}")
            for name in tasks:
                labelled[name] += bool(row[has(name)])
    except Exception as error:
        problems.append(f"{where}: {told(error)}")
        return "reading them failed"
    usable = len(places) - len(reasons)
    if not usable:
        problems.append(
            f"{where}: none of the {len(places)} clips that were read can be used. For example {reasons[0]}"
        )
    bare = [n for n, count in labelled.items() if not count and usable]
    return (
        f"read {len(places)}, {usable} can be used"
        + (f" (not {reasons[0]})" if reasons and usable else "")
        + (f"; none of these is labelled for {', '.join(bare)}" if bare else "")
    )


def _sources(recipe: Recipe) -> Iterator[tuple[str, Source]]:
    for group in ("sources", "held_out"):
        for name, source in getattr(recipe, group).items():
            yield f"{group}.{name}", source
