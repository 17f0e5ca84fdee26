"""yaml -> Recipe: `extends`, `${VARIABLES}`, key=value overrides, and every error at once."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import yaml
from pydantic import ValidationError

from taskprompt.core.errors import RecipeError
from taskprompt.core.spec import Spec

if TYPE_CHECKING:
    from taskprompt.core.recipe import Recipe

Whole = TypeVar("Whole", bound=Spec)  # what a file holds: a recipe, a sweep


def load_recipe(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> "Recipe":
    """The recipe in a yaml file with 'a.b=value' overrides applied. Raises RecipeError with every problem."""
    return validate(read(path, overrides), str(path))


def read(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> dict[str, Any]:
    """The same as one plain dictionary, merged and expanded but not yet checked."""
    data = _read_extended(Path(path), ())
    for text in overrides:
        override(data, text)
    problems: list[str] = []
    data = _expand(data, "", problems)
    if problems:
        raise RecipeError(str(path), problems)
    return data


@overload
def validate(data: dict[str, Any], where: str, *, elsewhere: bool = False) -> "Recipe": ...
@overload
def validate(data: dict[str, Any], where: str, spec: type[Whole], *, elsewhere: bool = False) -> Whole: ...
def validate(data: dict[str, Any], where: str, spec: type[Spec] | None = None, *, elsewhere: bool = False) -> Spec:
    """A dictionary as a Recipe, or another spec that a file holds; `where` names it in errors. elsewhere: the recipe's
    data may lie on other machines alone."""
    if spec is None:  # imported here, and torch with it: a file that cannot be read needs neither
        from taskprompt.core.recipe import Recipe as spec
    try:
        return spec.model_validate(data, context={"elsewhere": elsewhere})
    except ValidationError as error:
        errors = error.errors()
        # A list whose only entry is wrong is also called too short: the deeper of two errors says it all.
        shadows = {e["loc"][:n] for e in errors for n in range(len(e["loc"]))}
        deepest = [e for e in errors if e["loc"] not in shadows or not e["loc"]]
        raise RecipeError(where, [line for e in deepest for line in _lines(e)]) from None


def dump(spec: Spec) -> str:
    """A recipe, or another spec that a file holds, as yaml that loads to the same."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _lines(error: Any) -> list[str]:
    path = ".".join(str(p) for p in error["loc"] if p != "[key]")
    text = error["msg"].removeprefix("Value error, ")
    if not path:
        return text.split("\n")  # the recipe's own checks say where they look
    found = "" if isinstance(error["input"], dict) or error["type"] == "missing" else f" Found: {error['input']!r}."
    return [f"{path}: {text}{'' if text.endswith('.') else '.'}{found if error['type'] != 'spec' else ''}"]


def _read_extended(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = path.absolute()
    if path in seen:
        raise RecipeError(str(path), [f"extends: {' -> '.join(p.name for p in (*seen, path))} goes round in a circle."])
    data = _read_yaml(path)
    base = data.pop("extends", None)
    if base is None:
        return data
    return _merge(_read_extended(path.parent / os.path.expandvars(str(base)), (*seen, path)), data)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            str(path), [f"cannot be read: {error.strerror}. Give the path of a recipe's yaml file."]
        ) from None
    except UnicodeDecodeError:
        raise RecipeError(str(path), ["is not a text file. Give the path of a recipe's yaml file."]) from None
    except yaml.YAMLError as error:
        raise RecipeError(str(path), ["is not yaml: " + " ".join(str(error).split()) + "."]) from None
    if not isinstance(data, dict):
        raise RecipeError(str(path), [f"holds {type(data).__name__}, expected `key: value` lines such as `tasks:`."])
    return data


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Dictionaries merge by key, a null removes the key, and a new `kind` replaces the whole entry. A dictionary whose
    keys are positions changes those entries of a list."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, list) and isinstance(value, dict) and value and all(str(i).isdigit() for i in value):
            merged[key] = _merge_list(key, old, {int(i): entry for i, entry in value.items()})
            continue
        other_kind = (
            isinstance(value, dict) and isinstance(old, dict) and value.get("kind", old.get("kind")) != old.get("kind")
        )
        if value is None and isinstance(old, dict):
            merged.pop(key)
        elif isinstance(value, dict) and isinstance(old, dict) and not other_kind:
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _merge_list(key: str, old: list, changes: dict[int, Any]) -> list:
    """The list with some entries changed: {0: {tasks: [action]}}."""
    wrong = [i for i in changes if not 0 <= i < len(old)]
    if wrong:
        raise RecipeError(key, [f"there is no entry {wrong[0]}, the base has {len(old)}, counted from 0."])
    at = {str(i): entry for i, entry in enumerate(old)}
    merged = _merge(at, {str(i): value for i, value in changes.items()})
    return [merged[i] for i in at if i in merged]


def override(data: dict[str, Any], text: str) -> None:
    """Set what 'a.b=value' says, the value being yaml. Raises RecipeError."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {text!r}", ["expected key=value, for example stages.0.steps=100."])
    try:
        node, last = _place(data, key)
        node[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"override {text!r}", [f"the value {value!r} is not yaml; quote it."]) from None
    except (IndexError, ValueError, TypeError, AttributeError):
        raise RecipeError(f"override {text!r}", [f"there is no {key!r} in the recipe to set."]) from None


def change(data: dict[str, Any], key: str, value: Any) -> None:
    """Set 'a.b.0' in a recipe's dictionary as a file that extends it would: entries merge, a null removes one."""
    try:
        node, last = _place(data, key)
        old = node[last] if isinstance(node, list) else node.get(last)
    except (IndexError, ValueError, TypeError, AttributeError):
        raise RecipeError(key, [f"there is no {key!r} in the recipe to set."]) from None
    merged = _merge({"it": old}, {"it": value})
    if "it" in merged:
        node[last] = merged["it"]
    elif isinstance(node, list):
        raise RecipeError(key, ["an entry of a list cannot be removed. Give the whole list."])
    else:
        del node[last]


def _place(data: dict[str, Any], key: str) -> tuple[Any, Any]:
    """What holds 'a.b.0', a dictionary or a list, and the key in it."""
    *parents, last = key.split(".")
    node: Any = data
    for parent in parents:
        node = node[int(parent)] if isinstance(node, list) else node.setdefault(parent, {})
    return node, int(last) if isinstance(node, list) else last


def _expand(value: Any, path: str, problems: list[str]) -> Any:
    """${NAME} and ${NAME:-default} in every string."""
    if isinstance(value, dict):
        return {k: _expand(v, f"{path}.{k}".lstrip("."), problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, f"{path}.{i}", problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match) -> str:
        name, default = match[1], match[2]
        if name not in os.environ and default is None:
            problems.append(f"{path}: the environment variable {name} is not set. Run: export {name}=...")
            return ""
        return os.environ.get(name, default or "")

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", variable, value)
