"""pydantic's errors as lines for people: path, what is wrong, and what was found."""

import copy
import reprlib
from typing import Any, get_origin

from pydantic import ValidationError

from taskprompt.core.spec import Spec

LONGEST = 2000  # letters of a line
SHORT = reprlib.Repr()  # what was found, in about a line
SHORT.maxstring = SHORT.maxother = 100


def lines(error: ValidationError) -> list[str]:
    """One line a problem."""
    return [line for e in _deepest(error) for line in _lines(e)]


def _deepest(error: ValidationError) -> list[Any]:
    """A list whose only entry is wrong is also called too short: the deeper of two errors says it all."""
    errors = error.errors()
    shadows = {e["loc"][:n] for e in errors for n in range(len(e["loc"]))}
    return [e for e in errors if e["loc"] not in shadows or not e["loc"]]


def _lines(error: Any) -> list[str]:
    path = ".".join(str(p)[:100] for p in error["loc"] if p != "[key]")
    text = error["msg"].removeprefix("Value error, ")
    if not path:
        return [line[:LONGEST] for line in text.split("\n")]  # the recipe's own checks say where they look
    text = text[:LONGEST]
    given = not isinstance(error["input"], dict) and error["type"] not in ("missing", "spec")
    found = f" Found: {SHORT.repr(error['input'])}." if given else ""
    return [f"{path}: {text}{'' if text.endswith('.') else '.'}{found}"]


def repaired(data: dict[str, Any], error: ValidationError, spec: type[Spec]) -> tuple[Any, tuple[str, ...]]:
    """The data without the fields that are wrong, and the paths whose other problems may come from that alone.

    None for the data where a whole entry is wrong, such as a task of an unknown kind."""
    rest, wrong = copy.deepcopy(data), set[str]()
    for e in _deepest(error):
        loc = [p for p in e["loc"] if p != "[key]"]
        while loc and isinstance(loc[-1], int):  # of a list, the whole field
            loc.pop()
        field = spec.model_fields.get(str(loc[0])) if loc else None
        is_entry = field is not None and get_origin(field.annotation) is dict and len(loc) == 2
        if not loc or is_entry or (isinstance(e["input"], dict) and e["type"] != "extra_forbidden"):
            return None, ()
        node = rest
        try:
            for part in loc[:-1]:
                node = node[part]
            node.pop(loc[-1], None)
        except (KeyError, IndexError, TypeError, AttributeError):
            return None, ()
        is_number = isinstance(e["input"], int | float)  # on which no names depend
        wrong.add(".".join(map(str, loc if is_number else loc[:-1] or loc)))
        if loc[0] in ("clip", "backbone"):
            wrong |= {"backbone", "prompter"}
    return rest, tuple(wrong)
