"""Rows of a folder of videos: by its sub-folders, or by a csv file."""

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from taskprompt.core.errors import SourceError
from taskprompt.core.spec import Spec, nearest
from taskprompt.core.types import Row

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".ogv", ".avi", ".divx", ".wmv", ".asf", ".flv", ".gif"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".mxf", ".h264", ".hevc"),
)


class Columns(Spec):
    """The names of a csv file's columns; only `clip` must be there, unless you name another."""

    clip: str = "clip"  # the video's path from the source's `path`
    label: str = "class"  # the class
    start: str = "start"  # seconds; empty: the start of the video
    end: str = "end"  # seconds; empty: its end
    split: str = "split"  # what the source's `split` is compared with


def readable(path: str) -> Path:
    """The folder, absolute. Raises SourceError where it cannot be listed."""
    folder = Path(path).expanduser().absolute()
    try:
        with os.scandir(folder):
            return folder
    except OSError as error:
        raise SourceError(
            f"path {path!r}: the folder cannot be read: {error.strerror}. Give a folder of videos."
        ) from None


def by_folder(folder: Path) -> Iterator[Row]:
    """A row for every video below the folder, in the order of their names; the class is the first sub-folder's name."""
    for file in sorted(_walk(folder)):
        name = file.relative_to(folder)
        yield _row(file, name.as_posix(), name.parts[0] if len(name.parts) > 1 else "")


def by_csv(
    folder: Path, file: str, columns: Columns, pattern: str, split: str | None, values: Mapping[str, tuple[str, bool]]
) -> Iterator[Row]:
    """A row for every line of a csv file. values: label -> its column, and whether it is a number."""
    path = folder / file
    found, lines = _read(path)
    _check_columns(path, found, columns, split, [column for column, _ in values.values()])
    splits = Counter(line.get(columns.split, "") for _, line in lines)
    if split is not None and split not in splits:
        raise SourceError(f"{path}: no line has the split {split!r}. Found: {', '.join(sorted(splits))}.")
    for at, line in lines:
        if split is not None and line[columns.split] != split:
            continue
        name = pattern.format(clip=line[columns.clip])
        row = _row(folder / name, name, line.get(columns.label, ""))
        row["start"] = _number(path, at, columns.start, line.get(columns.start, "") or "0")
        row["end"] = _number(path, at, columns.end, line.get(columns.end, ""))
        if line.get(columns.start) or line.get(columns.end):
            row["key"] += f"@{row['start']:g}-{line.get(columns.end, '')}"
        for label, (column, is_number) in values.items():
            row[f"value {label}"] = _number(path, at, column, line[column]) if is_number else line[column]
        yield row


def header(folder: Path, file: str) -> list[str]:
    """The names of a csv file's columns."""
    return _read(folder / file, only_header=True)[0]


def unique(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows; one that repeats a key gets a number behind it."""
    seen: Counter[str] = Counter()
    for row in rows:
        seen[row["key"]] += 1
        yield row if seen[row["key"]] == 1 else {**row, "key": f"{row['key']}#{seen[row['key']]}"}


def place(name: str) -> float:
    """0 to 1: where a clip's name falls, the same for ever and everywhere."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest()) / 2**56


def _row(file: Path, name: str, label: str) -> Row:
    return {"key": name, "clip": str(file), "name": name, "class": label, "start": 0.0, "end": math.nan}


def _walk(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path))
        elif os.path.splitext(entry.name)[1].lower() in VIDEOS:
            yield Path(entry.path)


def _read(path: Path, only_header: bool = False) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names; (number, column -> cell) of each line. Commas, semicolons or tabs part the cells."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            names = [name.strip() for name in next(reader, [])]
            if only_header:
                return names, []
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"{path}: cannot be read as a csv file: {reason}.") from None
    for at, line in lines:
        if len(line) != len(names):
            raise SourceError(
                f"{path}, line {at}: found {len(line)} cells, expected {len(names)}. Quote cells with commas."
            )
    return names, [(at, dict(zip(names, line, strict=True))) for at, line in lines]


def _check_columns(path: Path, found: list[str], columns: Columns, split: str | None, values: list[str]) -> None:
    needed = [columns.clip, *values] + [columns.split] * (split is not None)
    named = {getattr(columns, field): info.default for field, info in Columns.model_fields.items()}
    needed += [column for column, default in named.items() if column != default]
    for column in needed:
        if column not in found:
            raise SourceError(
                f"{path}: there is no column {column!r}{nearest(column, found)} Found: {', '.join(found) or 'none'}. "
                "Name the right one under `columns`, or add a line of column names to the file."
            )


def _number(path: Path, at: int, column: str, cell: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise SourceError(f"{path}, line {at}: column {column!r} holds {cell!r}, expected a number.") from None
