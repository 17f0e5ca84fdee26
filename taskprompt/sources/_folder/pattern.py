"""File names with {fields}, without attributes, indices and unbounded widths of str.format."""

import re
from collections.abc import Iterator
from string import Formatter

WIDTH = re.compile(r"0?\d?\dd?")  # as in {frame:05d}


def fields(pattern: str) -> Iterator[str]:
    """The names in braces. Raises ValueError for anything but {name} and {name:05d}; {{ is a brace."""
    for _, field, width, conversion in Formatter().parse(pattern):
        if field is None:
            continue
        if not field.isidentifier() or conversion or (width and not WIDTH.fullmatch(width)):
            raise ValueError(f"{{{field}}} is not a field")
        yield field


def fill(pattern: str, **values: str | int) -> str:
    """The pattern with its fields filled in. Values may contain braces."""
    parts = []
    for literal, field, width, _ in Formatter().parse(pattern):
        parts.append(literal)
        if field is not None:
            parts.append(format(values[field], width or ""))
    return "".join(parts)
