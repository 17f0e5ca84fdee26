"""Joining label tables to a source: which labels its clips have, and what the tables hold of one clip."""

from typing import Any

from taskprompt.core.errors import SourceError
from taskprompt.core.source import Source, Table
from taskprompt.labels.table import LabelTable, open_table


def opened(table: Table) -> LabelTable:
    """The table as it is now, without what it drops. Raises SourceError where there is none."""
    return open_table(table.path, table.drop)


def joined(source: Source) -> dict[str, str]:
    """label -> the table that holds it. Raises SourceError where a table is missing, or two hold one label."""
    own, found = source.own_labels(), dict[str, str]()
    for table in source.tables:
        for label in opened(table).labels:
            other = found.get(label) or ("the source itself" if label in own else "")
            if other:
                raise SourceError(f"table {table.path}: its label {label!r} is one of {other}, too. Take one away.")
            found[label] = table.path
    return found


def all_labels(source: Source) -> tuple[str, ...]:
    """All labels that its clips may have: its own, and those of its tables."""
    return (*source.own_labels(), *joined(source))


def labels_of(source: Source) -> tuple[str, ...]:
    """The labels that a recipe sees: all those that `only` keeps."""
    return tuple(n for n in all_labels(source) if source.keeps(n))


def labels_in_tables(source: Source, key: str) -> dict[str, Any]:
    """What the source's tables hold of a clip, as far as `only` keeps it. Raises SampleError where a row is damaged."""
    found: dict[str, Any] = {}
    for table in map(opened, source.tables):
        found |= table.of(key, [n for n in table.labels if source.keeps(n)])
    return found
