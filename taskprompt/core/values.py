"""Plain values: what is a list or a mapping, and what no field of a spec may hold, whatever its type: numbers that a
model cannot calculate with, text of no file."""

import math
from collections.abc import Iterator, Set
from typing import Any, TypeGuard

BITS = 63  # of an integer, without its sign
LARGEST, SMALLEST = 3.4028234e38, 1.1754944e-38  # of float32
DEEPEST = 100  # levels of lists and mappings; also ends recursion in cyclic ones

Found = tuple[tuple[int | str, ...], Any, str]


def is_mapping(value: Any) -> TypeGuard[dict[Any, Any]]:
    """Is it a dict? A type checker knows then what is in it, which isinstance(value, dict) does not say."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Is it a list, as files of yaml and json have them?"""
    return isinstance(value, list)


def is_sequence(value: Any) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Is it a list or a tuple?"""
    return isinstance(value, list | tuple)


def unusable(value: Any, given: Any = None, depth: int = 0) -> Iterator[Found]:
    """path, value and what was expected, of every part of a value that cannot be used.

    given: the input of the value: true and false are not numbers, though Python converts them to 1 and 0."""
    if depth > DEEPEST:
        yield (), "...", f"is nested more than {DEEPEST} deep."
    elif is_mapping(value):
        for key, part in value.items():
            if not isinstance(key, str | int):
                yield (), key, "expected keys that are text."
            for place, found, text in unusable(part, _part(given, key), depth + 1):
                yield (str(key), *place), found, text
    elif is_sequence(value) or _is_set(value):
        for i, part in enumerate(value):
            for place, found, text in unusable(part, _part(given, i), depth + 1):
                yield (i, *place), found, text
    elif text := _problem(value, given):
        yield (), value if given is None else given, text


def _is_set(value: Any) -> TypeGuard[Set[Any]]:
    return isinstance(value, set | frozenset)


def _part(given: Any, key: Any) -> Any:
    try:
        return given[key]
    except (KeyError, IndexError, TypeError):
        return None


def _problem(value: Any, given: Any) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(given, bool) and isinstance(value, int | float):
        return "Input should be a number."
    if isinstance(value, int) and value.bit_length() > BITS:
        return "Input should be a whole number of at most 64 bits."
    if isinstance(value, float) and not math.isfinite(value):
        return "Input should be a finite number."
    if isinstance(value, float) and value and not SMALLEST <= abs(value) <= LARGEST:
        return "Input should be 0, or a number that float32 holds: 1.2e-38 to 3.4e38."
    if isinstance(value, str) and not _is_text(value):
        return "Input should be text that a file can hold, in UTF-8 and without null characters."
    return ""


def _is_text(value: str) -> bool:
    return "\0" not in value and (value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value))
