"""Joining label tables to a source: the labels of its clips, and the tables' labels of one clip."""

from typing import Any

from taskprompt.core.errors import SourceError
from taskprompt.core.source import Source, Table
from taskprompt.labels.table import LabelTable, open_table


def opened(table: Table) -> LabelTable:
    """The current table, without dropped answers. Raises SourceError if there is none."""
    return open_table(table.path, table.drop)


def joined(source: Source) -> dict[str, str]:
    """label -> the table that has it. Raises SourceError if a table is missing, or two have the same label."""
    own, found = source.own_labels(), dict[str, str]()
    for table in source.tables:
        for label in opened(table).labels:
            other = found.get(label) or ("the source itself" if label in own else "")
            if other:
                raise SourceError(f"table {table.path}: its label {label!r} is also one of {other}. Remove one.")
            found[label] = table.path
    return found


def all_labels(source: Source) -> tuple[str, ...]:
    """All labels that its clips may have: its own, and those of its tables."""
    return (*source.own_labels(), *joined(source))


def labels_of(source: Source) -> tuple[str, ...]:
    """The labels that `only` keeps."""
    return tuple(n for n in all_labels(source) if source.keeps(n))


def labels_in_tables(source: Source, key: str) -> dict[str, Any]:
    """The labels of a clip in the source's tables that `only` keeps. Raises SampleError if a row is damaged."""
    found: dict[str, Any] = {}
    for table in map(opened, source.tables):
        found |= table.of(key, [n for n in table.labels if source.keeps(n)])
    return found
