"""Rows of a folder of videos: by its sub-folders, or by a csv file."""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from taskprompt.core.errors import SourceError, nearest
from taskprompt.core.types import Row
from taskprompt.sources._folder.pattern import fill
from taskprompt.sources._folder.table import Columns, check_columns, moment, number, read
from taskprompt.sources._folder.walk import as_text, stored_path, videos


def by_folder(folder: Path) -> Iterator[Row]:
    """A row for every video below the folder, in the order of their names; the class is the first sub-folder's name."""
    for file in sorted(videos(folder)):
        name = file.relative_to(folder)
        yield _row(file, name.as_posix(), name.parts[0] if len(name.parts) > 1 else "")


def by_csv(
    folder: Path, file: str, columns: Columns, pattern: str, split: str | None, values: Mapping[str, tuple[str, bool]]
) -> Iterator[Row]:
    """A row for every line of a csv file. values: label -> its column, and whether it is a number."""
    path = folder / file
    found, lines = read(path)
    check_columns(path, found, columns, split, [column for column, _ in values.values()])
    splits = Counter(line.get(columns.split, "") for _, line in lines)
    if split is not None and split not in splits:
        known = ", ".join(sorted(splits)) or "none"
        raise SourceError(f"{path}: no line has the split {split!r}{nearest(split, splits)} Found: {known}.")
    for at, line in lines:
        if split is not None and line[columns.split] != split:
            continue
        name = fill(pattern, clip=line[columns.clip])
        row = _row(folder / name, name, line.get(columns.label, ""))
        start = moment(path, at, columns.start, line.get(columns.start, ""))
        row["end"] = moment(path, at, columns.end, line.get(columns.end, ""))
        row["start"] = 0.0 if math.isnan(start) else start
        if not math.isnan(start) or not math.isnan(row["end"]):
            row["key"] += f"@{row['start']:g}-{'' if math.isnan(row['end']) else line[columns.end]}"
        for label, (column, is_number) in values.items():
            row[f"value {label}"] = number(path, at, column, line[column]) if is_number else line[column]
        yield row


def unique(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows; a number is appended to repeated keys."""
    seen: Counter[str] = Counter()
    for row in rows:
        key = row["key"]
        while key in seen:
            seen[row["key"]] += 1
            key = f"{row['key']}#{seen[row['key']]}"
        seen[key] += 1
        yield {**row, "key": key}


def place(name: str) -> float:
    """A hash of a clip's name in 0 to 1, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=7).digest()) / 2**56


def _row(file: Path, name: str, label: str) -> Row:
    name, label = as_text(name), as_text(label)
    return {"key": name, "clip": stored_path(file), "name": name, "class": label, "start": 0.0, "end": math.nan}
