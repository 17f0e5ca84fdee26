"""Spec: a frozen pydantic model that *is* the plug-in. A kind is a module name; nothing is registered."""

import importlib
import inspect
import os
import pkgutil
import sys
from difflib import get_close_matches
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from taskprompt.core.errors import SpecError


class Spec(BaseModel):
    """Base of all that a recipe holds. With a `home` it is an interface: its kinds are the modules of that package."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    home: ClassVar[str] = ""

    @model_validator(mode="wrap")
    @classmethod
    def _from_kind(cls, value: Any, handler):
        if isinstance(value, dict) and cls.home:
            options = dict(value)
            kind = options.pop("kind", None)
            if "home" in vars(cls):  # the interface itself: the kind says which class
                return resolve(kind, cls).model_validate(options)
            value = options
        try:
            return handler(value)
        except ValidationError as error:
            raise _with_hints(cls, error) from None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema, handler):
        if not cls.home or "home" not in vars(cls):
            return handler(core_schema)
        from taskprompt.core.catalogue import kinds_schema

        return kinds_schema(cls, lambda kind: handler.resolve_ref_schema(handler(kind.__pydantic_core_schema__)))

    @model_serializer(mode="plain")
    def _to_dict(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {"kind": kind_of(type(self)), **options} if self.home else options


def _with_hints(cls: type[Spec], error: ValidationError) -> ValidationError:
    """The same errors; an unknown field of this very spec also names the nearest and all allowed ones."""

    def hinted(e: Any) -> InitErrorDetails:
        if e["type"] != "extra_forbidden" or len(e["loc"]) != 1:
            text = e["msg"].removeprefix("Value error, ")
        else:
            allowed = sorted(cls.model_fields)
            text = f"no such field{nearest(str(e['loc'][0]), allowed)} Allowed: {', '.join(allowed) or 'none'}."
        kind = "spec" if e["type"] == "value_error" else e["type"]
        problem = PydanticCustomError(kind, "{text}", {"text": text})  # type: ignore[arg-type]
        return InitErrorDetails(type=problem, loc=e["loc"], input=e["input"])

    return ValidationError.from_exception_data(cls.__name__, [hinted(e) for e in error.errors()])


def nearest(word: str, known) -> str:
    """'.', or '. Did you mean ...?' where a known word is near."""
    near = get_close_matches(word, list(known), 1)
    return f". Did you mean {near[0]!r}?" if near else "."


def kind_of(cls: type[Spec]) -> str:
    """The kind that names a class: its module's name, or 'package.module:Class' for a user's own."""
    package, _, module = cls.__module__.rpartition(".")
    return module if package == cls.home else f"{cls.__module__}:{cls.__name__}"


def kinds(interface: type[Spec]) -> list[str]:
    """The names of the kinds that come with taskprompt, by listing the interface's package."""
    package = importlib.import_module(interface.home)
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def resolve(kind: Any, interface: type[Spec]) -> type[Spec]:
    """'depth' -> the one Task in taskprompt/tasks/depth.py; 'pkg.mod:Name' -> that class. Raises SpecError."""
    what = interface.__name__.lower()
    known = kinds(interface)
    options = f"Known: {', '.join(known)}; or your own as 'package.module:Class'."
    if not isinstance(kind, str) or not kind:
        raise SpecError(f"no `kind` is given, so the {what} is unknown. {options}")
    module_name, _, name = kind.partition(":")
    if not name and module_name not in known:
        raise SpecError(f"no {what} of kind {kind!r}{nearest(kind, known)} {options}")
    module = _import(f"{interface.home}.{kind}" if not name else module_name, kind)
    found = [c for _, c in inspect.getmembers(module, inspect.isclass)]
    found = [c for c in found if issubclass(c, interface) and c.__module__ == module.__name__]
    found = [c for c in found if not name or c.__name__ == name]
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise SpecError(f"{kind!r}: module {module.__name__} must define exactly one such {what}; it defines {names}.")
    return found[0]


def _import(module_name: str, kind: str):
    """Import a kind's module; a user's own is looked up in the working directory too."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.split(".")[0] != error.name.split(".")[0]:
            raise SpecError(f"kind {kind!r} needs the package {error.name!r}, which is not installed.") from error
        raise SpecError(
            f"kind {kind!r}: there is no module {module_name!r} in {os.getcwd()} or on the Python path. "
            "Start where the module lies, or install its package."
        ) from error
