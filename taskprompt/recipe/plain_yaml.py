"""Plain yaml: text, numbers, lists and mappings of bounded size. No tags, so no other objects are constructed."""
# PyYAML leaves types out.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import re
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import yaml

MOST_BYTES = 1 << 20  # of a file; the class names of ImageNet-21k have 0.4 MB
MOST_NODES = 100_000  # values in a document, with aliases expanded
MOST_DIGITS = 1000  # of an integer
DEEPEST = 64  # levels of lists and mappings
BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if PyYAML has libyaml
INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)\Z")
FLOAT = re.compile(
    r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?\Z"
    r"|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z"
)


class PlainLoader(BASE):
    """yaml in which dates, base-60 numbers and numbers with leading zeros are text, and 1e-3 is a number."""


class PlainDumper(yaml.SafeDumper):
    """Writes yaml that PlainLoader and other yaml readers read back identically."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:  # NEL, a line break in yaml, is lost without quotes
        style = '"' if "\x85" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


def _resolvers() -> dict[Any, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's table, first character -> tags, without dates, and with numbers as above."""
    dropped = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "int", "float", "value")}
    kept = {c: [(t, p) for t, p in found if t not in dropped] for c, found in BASE.yaml_implicit_resolvers.items()}
    for letters, tag, pattern in (("-+0123456789", "int", INTEGER), ("-+.0123456789", "float", FLOAT)):
        for letter in letters:
            kept.setdefault(letter, []).append((f"tag:yaml.org,2002:{tag}", pattern))
    return kept


PlainLoader.yaml_implicit_resolvers = _resolvers()
PlainDumper.add_representer(str, PlainDumper.represent_str)
PlainDumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def parse(text: str) -> Any:
    """yaml -> plain values. Raises ValueError with the problem and its position, in one line."""
    try:
        _check(yaml.parse(text, Loader=PlainLoader))
        return yaml.load(text, Loader=PlainLoader)  # safe: PlainLoader derives from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or error.context).split())
        raise ValueError(f"{_at(mark)}{what}.") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split()).rstrip(".") + ".") from None
    except UnicodeEncodeError as error:
        raise ValueError(
            f"it contains a lone surrogate, {error.object[error.start]!r}, at position {error.start}."
        ) from None


def read_text(path: Path) -> str:
    """A text file of limited size. Raises OSError, or ValueError with the problem."""
    if "\0" in str(path):
        raise ValueError("is not a path: it has a null character.")
    mode = path.stat().st_mode  # before it is opened: opening a pipe would block
    if not S_ISREG(mode) and not S_ISDIR(mode):
        raise ValueError("is not a file.")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES >> 20} MiB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not a text file.") from None


def dump(data: Any) -> str:
    """Plain values as yaml, keys in their order."""
    return yaml.dump(data, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=120)


def _check(events: Iterator[Any]) -> None:
    """Reject tags, recursive aliases, too many values, deep nesting, invalid and duplicate keys.

    It reads the parser's events, before anything is constructed, and stops at the first problem."""
    total, open_ = 0, [_Part(None, False)]
    anchors: dict[str, tuple[int, int]] = {}  # finished anchors: values and levels
    for event in events:
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"{_at(event.start_mark)}the tag {event.tag} is not allowed. Write the value without it.")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            open_[-1].meet(event, None)
            open_.append(_Part(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if len(open_) > DEEPEST:
                raise ValueError(f"{_at(event.start_mark)}lists and mappings are nested more than {DEEPEST} deep.")
            continue
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            part = open_.pop()
            size, depth = part.size + 1, part.depth + 1
            anchor = part.anchor
        elif isinstance(event, yaml.ScalarEvent):
            if event.implicit[0] and len(event.value) > MOST_DIGITS and INTEGER.match(event.value):
                raise ValueError(f"{_at(event.start_mark)}found a number of {len(event.value)} digits.")
            open_[-1].meet(event, event.value)
            size, depth, anchor = 1, 0, event.anchor
        elif isinstance(event, yaml.AliasEvent):
            open_[-1].meet(event, None)
            if any(part.anchor == event.anchor for part in open_):
                raise ValueError(f"{_at(event.start_mark)}*{event.anchor} is inside of its own anchor.")
            size, depth, anchor = *anchors.get(event.anchor, (1, 0)), None
        else:
            continue
        if anchor is not None:
            anchors[anchor] = size, depth
        open_[-1].size += size
        open_[-1].depth = max(open_[-1].depth, depth)
        total += size if isinstance(event, yaml.AliasEvent) else 1
        if total > MOST_NODES:
            raise ValueError(f"{_at(event.start_mark)}it holds more than {MOST_NODES} values.")
        if len(open_) + depth > DEEPEST:
            raise ValueError(f"{_at(event.start_mark)}lists and mappings are nested more than {DEEPEST} deep.")


class _Part:
    """An open list or mapping."""

    def __init__(self, anchor: str | None, is_mapping: bool):
        self.anchor, self.is_mapping = anchor, is_mapping
        self.size = self.depth = self.met = 0
        self.keys: set[str] = set()

    def meet(self, event: Any, text: str | None) -> None:
        """Count one more value; in a mapping, keys and values alternate. text: of a scalar."""
        self.met += 1
        if not self.is_mapping or self.met % 2 == 0:
            return
        if text is None:
            raise ValueError(f"{_at(event.start_mark)}a key is a list, a mapping or an alias, expected text.")
        if text in self.keys and text != "<<":
            raise ValueError(f"{_at(event.start_mark)}the key {text!r} occurs twice. Remove one.")
        self.keys.add(text)


def _at(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
