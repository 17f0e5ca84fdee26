"""pydantic's errors as readable lines: path, problem, and what was found."""

import copy
import reprlib
from typing import Any, get_origin

from pydantic import ValidationError

from taskprompt.core.spec import Spec

LONGEST = 2000  # letters of a line
EXPECTED = "Input should "
LINES = "be `key: value` lines"
WORDS = {  # pydantic's name for an error -> what it says in the words of yaml, instead of Python's
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), LINES),
    **dict.fromkeys(("list_type", "tuple_type"), "be a list"),
    "string_type": "be text",
    **dict.fromkeys(("bool_type", "bool_parsing"), "be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "be a number"),
}


class _Shown(reprlib.Repr):
    """null, true and false as yaml has them; the rest as Python has it, which is yaml, too."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100

    def repr_NoneType(self, x: None, level: int) -> str:
        return "null"

    def repr_bool(self, x: bool, level: int) -> str:
        return "true" if x else "false"


def shown(value: Any) -> str:
    """A value from a recipe, in about a line."""
    return _Shown().repr(value)


def lines(error: ValidationError) -> list[str]:
    """One line a problem; what a value of one of several types should be is one, too."""
    found: dict[str, list[Any]] = {}
    for e in _deepest(error):
        found.setdefault(_path(e), []).append(e)
    return [line for path, errors in found.items() for line in _lines(path, errors)]


def _path(error: Any) -> str:
    return ".".join(str(p)[:100] for p in error["loc"] if p != "[key]")


def _deepest(error: ValidationError) -> list[Any]:
    """pydantic also reports a list with an invalid entry as too short: keep only the deeper of the two errors."""
    errors = error.errors()
    shadows = {e["loc"][:n] for e in errors for n in range(len(e["loc"]))}
    return [e for e in errors if e["loc"] not in shadows or not e["loc"]]


def _lines(path: str, errors: list[Any]) -> list[str]:
    if not path:  # the recipe's own checks name the path themselves
        return [line[:LONGEST] for e in errors for line in _text(e).split("\n")]
    texts = [_text(e)[:LONGEST].removesuffix(".") for e in errors]
    expected = [text.removeprefix(EXPECTED) for text in texts if text.startswith(EXPECTED)]
    joined = [EXPECTED + ", or ".join(dict.fromkeys(expected))] if expected else []
    told = [*joined, *dict.fromkeys(text for text in texts if not text.startswith(EXPECTED))]
    return [f"{path}: {text}{'' if text.endswith('?') else '.'}{_found(errors[0])}" for text in told]


def _text(error: Any) -> str:
    """What is wrong, without Python's names of types."""
    if error["type"] in WORDS:
        return EXPECTED + WORDS[error["type"]]
    if error["type"] in ("too_long", "too_short"):  # Tuple should have at most 2 items after validation, not 3
        return EXPECTED + error["msg"].partition(" should ")[2].replace("items after validation", "entries")
    return error["msg"].removeprefix("Value error, ")


def _found(error: Any) -> str:
    given = not isinstance(error["input"], dict) and error["type"] not in ("missing", "spec")
    return f" Found: {shown(error['input'])}." if given else ""


def repaired(data: dict[str, Any], error: ValidationError, spec: type[Spec]) -> tuple[Any, tuple[str, ...]]:
    """The data without invalid fields, and the paths whose other problems may follow from that.

    None for the data if a whole entry is invalid, such as a task of an unknown kind."""
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
        is_number = isinstance(e["input"], int | float)  # other checks do not depend on it
        wrong.add(".".join(map(str, loc if is_number else loc[:-1] or loc)))
        if loc[0] in ("clip", "backbone"):
            wrong |= {"backbone", "prompter"}
    return rest, tuple(wrong)
