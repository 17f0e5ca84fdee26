"""Spec: a frozen pydantic model that *is* the plug-in. A kind is a module name; nothing is registered."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, ClassVar, Self, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from taskprompt.core.errors import SpecError, TaskPromptError, nearest, told
from taskprompt.core.own_kinds import import_kind, own_module
from taskprompt.core.plugins import chosen, plugin_of, plugins
from taskprompt.core.values import is_mapping, unusable

S = TypeVar("S", bound="Spec")


class Spec(BaseModel):
    """Base class of everything in a recipe. With a `home` it is an interface: its kinds are that package's modules.

    In all fields, numbers are finite, integers have at most 64 bits, and text is valid UTF-8."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    home: ClassVar[str] = ""
    default_kind: ClassVar[str] = ""  # of an interface: the kind if a recipe gives none

    @model_validator(mode="wrap")
    @classmethod
    def _from_kind(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, BaseModel):
            return handler(value)
        if is_mapping(value) and cls.home:
            options = dict(value)
            kind = options.pop("kind", None)
            if "home" in vars(cls):  # the interface itself: the kind selects the class
                return resolve(cls.default_kind or None if kind is None else kind, cls).model_validate(options)
            if kind is not None and kind not in (kind_of(cls), _place(cls)):
                raise SpecError(f"found the kind {kind!r}, expected {kind_of(cls)!r}.")
            value = options
        try:
            made = handler(value)
        except ValidationError as error:
            raise _with_hints(cls, error) from None
        except TaskPromptError:
            raise
        except Exception as error:  # of a validator; pydantic handles only ValueError
            text = f"cannot be checked: {told(error)}"
            raise PydanticCustomError("spec", "{text}", {"text": text}) from error
        if problems := list(_unusable_fields(made, value)):
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return made

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        if not cls.home or "home" not in vars(cls):
            return handler(core_schema)
        return _kinds_schema(cls, lambda kind: handler.resolve_ref_schema(handler(kind.__pydantic_core_schema__)))

    @model_serializer(mode="plain")
    def _to_dict(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {"kind": kind_of(type(self)), **options} if self.home else options


def _with_hints(cls: type[Spec], error: ValidationError) -> ValidationError:
    """The same errors; an unknown field of this very spec also names the nearest and all allowed ones, and the place of
    an error ends with what a recipe has: pydantic adds which type of several a value was tried as."""

    def hinted(e: Any) -> InitErrorDetails:
        if e["type"] != "extra_forbidden" or len(e["loc"]) != 1:
            raised = e.get("ctx", {}).get("error")  # by a validator
            text = raised.text if isinstance(raised, TaskPromptError) else e["msg"].removeprefix("Value error, ")
        else:
            allowed = sorted(cls.model_fields)
            text = f"no such field{nearest(str(e['loc'][0]), allowed)} Allowed: {', '.join(allowed) or 'none'}."
        kind = "spec" if e["type"] == "value_error" else e["type"]
        problem = PydanticCustomError(kind, "{text}", {"text": text})  # type: ignore[arg-type]
        field, *inner = e["loc"] or ("",)
        loc = (field, *inner[1:]) if _of_several_types(cls, str(field)) else e["loc"]
        return InitErrorDetails(type=problem, loc=loc, input=e["input"])

    return ValidationError.from_exception_data(cls.__name__, [hinted(e) for e in error.errors()])


def _of_several_types(cls: type[Spec], field: str) -> bool:
    """Is a field an int or a list, say? None beside one type makes no second."""
    annotation = cls.model_fields[field].annotation if field in cls.model_fields else None
    return get_origin(annotation) in (Union, UnionType) and len({*get_args(annotation)} - {type(None)}) > 1


def _unusable_fields(spec: Spec, given: Any) -> Iterator[InitErrorDetails]:
    """Values that no field may have, in the fields of this spec; nested specs were checked when they were created."""
    for name in type(spec).model_fields:
        raw = given.get(name) if is_mapping(given) else None
        for loc, found, text in unusable(getattr(spec, name), raw):
            problem = PydanticCustomError("spec_value", "{text}", {"text": text})
            yield InitErrorDetails(type=problem, loc=(name, *loc), input=found)


def kind_of(cls: type[Spec]) -> str:
    """The kind of a class: its module's name, the name of a package's entry point, or 'package.module:Class' for a
    user's own class."""
    package, _, module = cls.__module__.rpartition(".")
    if package == cls.home:
        return module
    plugin = plugin_of(cls.home, _place(cls)) if cls.home else None
    return plugin.kind if plugin and plugin.kind not in builtin_kinds(cls) else _place(cls)


def _place(cls: type[Spec]) -> str:
    return f"{cls.__module__}:{cls.__name__}"


def kinds(interface: type[Spec]) -> list[str]:
    """The names of all kinds: built-in, and declared by installed packages."""
    return sorted({*builtin_kinds(interface), *plugins(interface.home)})


def builtin_kinds(interface: type[Spec]) -> list[str]:
    """The names of the built-in kinds, by listing the interface's package."""
    package = importlib.import_module(interface.home)
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def resolve(kind: Any, interface: type[S]) -> type[S]:
    """'depth' -> the one Task in taskprompt/tasks/depth.py, or the class that an installed package declares under this
    name; 'pkg.mod:Name' -> that class. Raises SpecError."""
    what = interface.__name__.lower()
    known = kinds(interface)
    options = f"Known: {', '.join(known)}; or your own as 'package.module:Class'."
    if not isinstance(kind, str) or not kind:
        found = f"found the kind {kind!r}, expected a name" if kind else "no `kind` is given"
        raise SpecError(f"{found}, so the {what} is unknown. {options}")
    if ":" in kind:
        return _own(kind, interface)
    if kind not in known:
        raise SpecError(f"no {what} of kind {kind!r}{nearest(kind, known)} {options}")
    if (plugin := chosen(interface.home, kind, kind in builtin_kinds(interface))) is not None:
        try:
            return _own(plugin.place, interface)
        except SpecError as error:
            raise SpecError(f"{kind!r} of the package {plugin.package}: {error.text}") from None
    module = import_kind(f"{interface.home}.{kind}", kind)
    found = [c for c in vars(module).values() if _is_kind(c, interface) and c.__module__ == module.__name__]
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise SpecError(f"{kind!r}: module {module.__name__} must define exactly one {what}; it defines {names}.")
    return found[0]


def _own(kind: str, interface: type[S]) -> type[S]:
    """A user's own kind."""
    module, name = own_module(kind)
    found: Any = vars(module).get(name)
    if _is_kind(found, interface) and found.__module__ == module.__name__:
        return found
    own = [n for n, c in vars(module).items() if _is_kind(c, interface) and c.__module__ == module.__name__]
    what = interface.__name__
    if inspect.isclass(found):
        raise SpecError(f"kind {kind!r}: {name} is not a {what}. Kinds of {what} there: {', '.join(own) or 'none'}.")
    listed = f"Kinds of {what} there: {', '.join(own) or 'none'}."
    raise SpecError(f"kind {kind!r}: the module defines no class {name!r}{nearest(name, own)} {listed}")


def _is_kind(found: Any, interface: type[S]) -> TypeGuard[type[S]]:
    return inspect.isclass(found) and issubclass(found, interface) and "home" not in vars(found)


def _kinds_schema(interface: type[Spec], generate: Callable[[type[Spec]], JsonSchemaValue]) -> JsonSchemaValue:
    """Any of the interface's kinds, with its `kind` required except for the default one; or a user's own."""
    options: list[JsonSchemaValue] = []
    for kind in kinds(interface):
        schema = dict(generate(resolve(kind, interface)))
        properties = {"kind": {"const": kind}} | schema.get("properties", {})
        needed = [*(["kind"] if kind != interface.default_kind else []), *schema.get("required", [])]
        options.append(schema | {"title": kind, "properties": properties, "required": needed})
    own = {
        "type": "object",
        "properties": {"kind": {"type": "string", "pattern": ":"}},
        "required": ["kind"],
        "title": "own",
    }
    return {"anyOf": [*options, own]}
