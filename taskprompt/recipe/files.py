"""yaml -> Recipe: `extends`, `${VARIABLES}`, key=value overrides, and every error at once."""

import os
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from taskprompt.core.errors import RecipeError
from taskprompt.core.spec import Spec
from taskprompt.core.values import is_list, is_mapping
from taskprompt.recipe import plain_yaml
from taskprompt.recipe.problems import lines, repaired, shown

Whole = TypeVar("Whole", bound=Spec)  # the content of a file: a recipe or a sweep
MOST_FILES = 32  # in a chain of `extends`
DEEPEST = 64  # keys in an override
COMMANDS = {"recipe": "fit", "sweep": "tune"}  # content of a file -> its command
MARKS = {"recipe": {"sources", "tasks", "backbone", "prompter", "stages"}, "sweep": {"recipe", "search", "metric"}}


def read(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> dict[str, Any]:
    """The file as one plain dictionary, merged and expanded but not validated."""
    data = _read_extended(Path(path), ())
    for text in overrides:
        override(data, text)
    problems: list[str] = []
    data = _expand(data, "", problems)
    if problems:
        raise RecipeError(str(path), problems)
    return data


def validate(data: dict[str, Any], where: str, spec: type[Whole], *, check_sources: bool = True) -> Whole:
    """Validate a dictionary as a recipe, a sweep, or another spec; `where` names it in errors. check_sources=False: the
    recipe's data may be on other machines only. Raises RecipeError with every problem."""
    _check_holds(data, where, spec)
    context = {"check_sources": check_sources}
    try:
        return spec.model_validate(data, context=context)
    except ValidationError as error:
        raise RecipeError(where, [*lines(error), *_behind(data, error, spec, context)]) from None


def draft(data: dict[str, Any], where: str, spec: type[Whole]) -> tuple[Whole | None, list[str], tuple[str, ...]]:
    """A recipe without the checks between fields, for a check that reports everything at once.

    Also returns the problems of its fields, which are removed, and the paths whose other problems may follow from that.
    None if too much is wrong. Raises RecipeError if it is not a recipe."""
    _check_holds(data, where, spec)
    try:
        return spec.model_validate(data, context={"draft": True}), [], ()
    except ValidationError as error:
        rest, wrong = repaired(data, error, spec)
        problems = lines(error)
    try:
        return (None if rest is None else spec.model_validate(rest, context={"draft": True})), problems, wrong
    except ValidationError:
        return None, problems, ()


def dump(spec: Spec) -> str:
    """A recipe or another spec as yaml that loads to the same."""
    return plain_yaml.dump(spec.model_dump(mode="json"))


def _check_holds(data: Any, where: str, spec: type[Spec]) -> None:
    """Raises RecipeError for a sweep in place of a recipe, and vice versa."""
    wanted = spec.__name__.lower()
    if wanted in MARKS and isinstance(data, dict) and not MARKS[wanted] & {*data} - {"recipe"}:
        for found, marks in MARKS.items():
            if found != wanted and len(marks & {*data}) > 1:
                raise RecipeError(where, [f"this is a {found}, expected a {wanted}: use {COMMANDS[found]}."])


def _behind(data: dict[str, Any], error: ValidationError, spec: type[Spec], context: dict[str, Any]) -> list[str]:
    """The problems between fields that are found only after invalid fields are removed."""
    rest, wrong = repaired(data, error, spec)
    if rest is None:
        return []
    try:
        spec.model_validate(rest, context=context)
    except ValidationError as other:
        if any(e["loc"] for e in other.errors()):
            return []
        return [line for line in lines(other) if not line.startswith(wrong)]
    return []


def _read_extended(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = path.absolute()
    if path in seen:
        raise RecipeError(str(path), [f"extends: {' -> '.join(p.name for p in (*seen, path))} is a cycle. Remove one."])
    if len(seen) >= MOST_FILES:
        raise RecipeError(str(seen[0]), [f"extends: more than {MOST_FILES} files extend each other."])
    data = read_file(path)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise RecipeError(str(path), [f"extends: expected the path of a file, as text. Found: {str(base)[:100]!r}."])
    return _merge(_read_extended(path.parent / os.path.expandvars(base), (*seen, path)), data)


def read_file(path: Path) -> dict[str, Any]:
    """One yaml file as it is: neither merged nor expanded. Raises RecipeError."""
    try:
        text = plain_yaml.read_text(path)
    except IsADirectoryError:
        raise RecipeError(str(path), [_of_folder(path)]) from None
    except OSError as error:
        raise RecipeError(
            str(path), [f"cannot be read: {error.strerror}. Give the path of a recipe's yaml file."]
        ) from None
    except ValueError as error:
        raise RecipeError(str(path), [f"{error} Give the path of a recipe's yaml file."]) from None
    try:
        data = plain_yaml.parse(text)
    except ValueError as error:
        raise RecipeError(str(path), [f"is not yaml: {error}"]) from None
    if not is_mapping(data):
        raise RecipeError(str(path), [f"holds {shown(data)}, expected `key: value` lines such as `tasks:`."])
    return data


def _of_folder(path: Path) -> str:
    for name, what in (("recipe.yaml", "a run"), ("sweep.yaml", "a sweep")):
        if (path / name).is_file():
            return f"is the folder of {what}, expected a yaml file. Give {path / name}."
    return "is a folder, expected a recipe's yaml file."


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Merge dictionaries by key: null removes the key, and a new `kind` replaces the whole entry. A dictionary with
    positions as keys changes those entries of a list."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if is_list(old) and is_mapping(value) and value and all(_is_place(i) for i in value):
            merged[key] = _merge_list(str(key), old, {int(i): entry for i, entry in value.items()})
            continue
        kinds = [v["kind"] for v in (old, value) if is_mapping(v) and v.get("kind") is not None]
        other_kind = len(kinds) == 2 and kinds[0] != kinds[1]
        if value is None and isinstance(old, dict):
            merged.pop(key)
        elif is_mapping(value) and is_mapping(old) and not other_kind:
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _is_place(key: Any) -> bool:
    return re.fullmatch("[0-9]{1,9}", str(key)) is not None


def _merge_list(key: str, old: list[Any], changes: dict[int, Any]) -> list[Any]:
    """A list with some entries changed, such as {0: {tasks: [action]}}."""
    wrong = [i for i in changes if not 0 <= i < len(old)]
    if wrong:
        raise RecipeError(key, [f"there is no entry {wrong[0]}, the base has {len(old)}, counted from 0."])
    at = {str(i): entry for i, entry in enumerate(old)}
    merged = _merge(at, {str(i): value for i, value in changes.items()})
    return [merged[i] for i in at if i in merged]


def override(data: dict[str, Any], text: str) -> None:
    """Apply 'a.b=value', with a yaml value. Raises RecipeError."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {text!r}", ["expected key=value, for example stages.0.steps=100."])
    try:
        parsed = plain_yaml.parse(value)
    except ValueError as error:
        raise RecipeError(f"override {text!r}", [f"the value {value!r} is not yaml; quote it. {error}"]) from None
    try:
        node, last = _place(data, key)
        node[last] = parsed
    except (IndexError, ValueError, TypeError, AttributeError):
        raise RecipeError(f"override {text!r}", [f"there is no {key!r} in the recipe to set."]) from None


def change(data: dict[str, Any], key: str, value: Any) -> None:
    """Set 'a.b.0' in a recipe's dictionary as a file that extends it would: entries merge, a null removes one."""
    try:
        node, last = _place(data, key)
        old = node[last] if is_list(node) else node.get(last)
    except (IndexError, ValueError, TypeError, AttributeError):
        raise RecipeError(key, [f"there is no {key!r} in the recipe to set."]) from None
    merged = _merge({"it": old}, {"it": value})
    if "it" in merged:
        node[last] = merged["it"]
    elif is_list(node):
        raise RecipeError(key, ["an entry of a list cannot be removed. Give the whole list."])
    else:
        del node[last]


def _place(data: dict[str, Any], key: str) -> tuple[Any, Any]:
    """The dictionary or list that contains 'a.b.0', and the key in it."""
    *parents, last = key.split(".")
    if len(parents) >= DEEPEST:
        raise ValueError(f"more than {DEEPEST} keys")
    node: Any = data
    for parent in parents:
        node = node[int(parent)] if is_list(node) else node.setdefault(parent, {})
    return node, int(last) if is_list(node) else last


def _expand(value: Any, path: str, problems: list[str]) -> Any:
    """Replace ${NAME} and ${NAME:-default} in every string."""
    if is_mapping(value):
        return {k: _expand(v, f"{path}.{k}".lstrip("."), problems) for k, v in value.items()}
    if is_list(value):
        return [_expand(v, f"{path}.{i}", problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name not in os.environ and default is None:
            problems.append(
                f"{path}: the environment variable {name} is not set. Set it, or write ${{{name}:-default}}."
            )
            return ""
        return os.environ.get(name, default or "")

    return re.sub(r"\$\{(\w+)(?::-([^{}]*))?\}", variable, value)
