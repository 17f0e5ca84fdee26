"""A csv file with one line per clip."""

import csv
import math
import re
from pathlib import Path

from taskprompt.core.errors import SourceError, nearest
from taskprompt.core.spec import Spec

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
NOTHING = ("", "nan", "na", "n/a", "<na>", "none", "null")  # representations of a missing number


class Columns(Spec):
    """The names of a csv file's columns; only `clip` is required, unless others are set."""

    clip: str = "clip"  # the video's path, relative to the source's `path`
    label: str = "class"  # the class
    start: str = "start"  # seconds; empty: the start of the video
    end: str = "end"  # seconds; empty: its end
    split: str = "split"  # compared with the source's `split`


def header(folder: Path, file: str) -> list[str]:
    """The names of a csv file's columns."""
    return read(folder / file, only_header=True)[0]


def read(path: Path, only_header: bool = False) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names; (number, column -> cell) of each line. Cells are separated by commas, semicolons or tabs."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            names = [name.strip() for name in next(reader, [])]
            if only_header:
                return names, []
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if any(line)]
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, UnicodeDecodeError):
            reason = "it is not UTF-8. Save it as UTF-8"
        raise SourceError(f"{path}: cannot be read as a csv file: {reason}.") from None
    for at, line in lines:
        if len(line) != len(names):
            raise SourceError(
                f"{path}, line {at}: found {len(line)} cells, expected {len(names)}. Quote cells with commas."
            )
    return names, [(at, dict(zip(names, line, strict=True))) for at, line in lines]


def check_columns(path: Path, found: list[str], columns: Columns, split: str | None, values: list[str]) -> None:
    """Raise SourceError for a required column that is missing or duplicate."""
    needed = [columns.clip, *values] + [columns.split] * (split is not None)
    named = {getattr(columns, field): info.default for field, info in Columns.model_fields.items()}
    needed += [column for column, default in named.items() if column != default]
    for column in needed:
        if column not in found:
            raise SourceError(
                f"{path}: there is no column {column!r}{nearest(column, found)} Found: {', '.join(found) or 'none'}. "
                "Set its name under `columns`, or add a line of column names to the file."
            )
    for column in (*needed, *named):
        if found.count(column) > 1:
            raise SourceError(f"{path}: there are {found.count(column)} columns {column!r}. Rename one.")


def number(path: Path, at: int, column: str, cell: str) -> float:
    """The number in a cell; NaN if it is empty. Raises SourceError, with the line, for anything else."""
    if cell.lower() in NOTHING:
        return math.nan
    if not NUMBER.fullmatch(cell) or math.isinf(float(cell)):
        hint = " Write decimals with a point." if "," in cell else ""
        raise SourceError(f"{path}, line {at}: column {column!r} holds {cell!r}, expected a number.{hint}")
    return float(cell)


def moment(path: Path, at: int, column: str, cell: str) -> float:
    """Seconds from the start of the video; NaN if the cell is empty."""
    seconds = number(path, at, column, cell)
    if seconds < 0:
        raise SourceError(
            f"{path}, line {at}: column {column!r} holds {cell!r}, expected seconds from 0 on, or an empty cell."
        )
    return seconds
