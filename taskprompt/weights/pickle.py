"""Parser of the pickle in a torch.save file, opcode by opcode, without importing or calling anything.

Tensors become references to their storages, which are checked before memory is allocated."""

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

import torch

MOST_AXES = 16
MOST_OPCODES = 1_000_000  # about 25 per tensor; limits time and memory, since each creates at most one small object
STORAGES = ("torch", "torch.storage", "torch.cuda")
REBUILDS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor")
CONTAINERS = ("collections.OrderedDict", "collections.Counter", "argparse.Namespace")
INERT = (  # names for sets, bytes and complex numbers: parsed and ignored
    *(f"{module}.{name}" for module in ("__builtin__", "builtins") for name in ("set", "bytearray", "complex")),
    "_codecs.encode",
    "torch.device",
    "torch.serialization._get_layout",
)
PLAIN = (str, int, float, bool, bytes, type(None))  # types of dictionary keys that are cheap to hash
_MARK = object()


class UnreadablePickle(Exception):
    """Damaged, or not written by torch.save."""


class ForeignObject(Exception):
    """The pickle needs something other than tensors and plain data; the argument is its name."""


class Stream(Protocol):
    """An open file, or a part of one."""

    def read(self, count: int, /) -> bytes: ...

    def readline(self) -> bytes: ...

    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers at another position in the file."""

    key: str
    dtype: torch.dtype  # uint8 for untyped ones, whose length is in bytes
    length: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A tensor as a view of a storage; all lengths are in numbers of `dtype`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    quantised: bool = False


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


class _Opaque:
    """A value that is not needed."""


def interpret(file: Stream) -> Any:
    """Read the next pickle of an open file, up to its end: dictionaries, lists, numbers, References.

    Raises UnreadablePickle and ForeignObject."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], file))):
            if count > MOST_OPCODES:
                raise UnreadablePickle("it has more parts than any model")
            if opcode.name == "STOP":
                return stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise UnreadablePickle(f"the opcode {opcode.name}, which torch.save does not write")
            step(stack, memo, argument)
    except (UnreadablePickle, ForeignObject):
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, StopIteration) as error:
        raise UnreadablePickle(str(error) or type(error).__name__) from None
    raise UnreadablePickle("it has no end")


def _marked(stack: list[Any]) -> list[Any]:
    """Pop the items above the last mark from the stack, and the mark."""
    at = next(i for i in reversed(range(len(stack))) if stack[i] is _MARK)
    above = stack[at + 1 :]
    del stack[at:]
    return above


def _push(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    stack.append(argument)


def _constant(make: Callable[[], Any]) -> Callable[[list[Any], dict[int, Any], Any], None]:
    return lambda stack, memo, argument: stack.append(make())


def _tuple(count: int) -> Callable[[list[Any], dict[int, Any], Any], None]:
    def step(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
        parts = tuple(stack[-count:])
        del stack[-count:]
        stack.append(parts)

    return step


def _put(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    memo[argument] = stack[-1]


def _append(stack: list[Any], values: list[Any]) -> None:
    if isinstance(stack[-1], list):
        stack[-1].extend(values)


def _set(stack: list[Any], pairs: Iterator[tuple[Any, Any]]) -> None:
    if isinstance(stack[-1], dict):
        stack[-1].update((key, value) for key, value in pairs if isinstance(key, PLAIN))


def _setitem(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    value, key = stack.pop(), stack.pop()
    _set(stack, iter([(key, value)]))


def _setitems(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    flat = _marked(stack)
    _set(stack, zip(flat[::2], flat[1::2], strict=True))


def _global(stack: list[Any], memo: dict[int, Any], argument: str) -> None:
    name = ".".join(argument.split(" "))
    module, _, last = name.rpartition(".")
    is_torch = module in STORAGES and (last.endswith("Storage") or last in DTYPES or last.startswith("per_"))
    rebuilds = module == "torch._utils" and last in (*REBUILDS, "_rebuild_parameter", "_rebuild_parameter_with_state")
    if not (is_torch or rebuilds or name in CONTAINERS or name in INERT or name == "torch.Size"):
        raise ForeignObject(name)
    stack.append(_Global(name))


def _reduce(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    """The result of a function call as data, without calling it."""
    arguments, function = cast(tuple[Any, ...], stack.pop()), stack.pop()
    module, _, last = function.name.rpartition(".")
    count = len(arguments) if isinstance(arguments, tuple) else 99
    if count > 10:
        raise UnreadablePickle("a call with arguments that torch.save does not write")
    if function.name in CONTAINERS:
        pairs = next((argument for argument in arguments if isinstance(argument, list)), [])
        stack.append({key: value for key, value in pairs if isinstance(key, PLAIN)})
        pairs.clear()  # process each list once, even if a pickle refers to it repeatedly
    elif module == "torch._utils" and last in REBUILDS:
        stack.append(_reference(last, *arguments))
    elif module == "torch._utils" or function.name == "torch.Size":  # a Parameter is its tensor, a Size its numbers
        stack.append(arguments[0])
    else:
        stack.append(_Opaque())


def _build(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    """Attributes, such as the module versions of state_dict(): ignored."""
    stack.pop()


def _persistent(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    parts = stack.pop()
    if not isinstance(parts, tuple) or not 5 <= len(parts) <= 6:
        raise UnreadablePickle("a storage that torch.save does not write")
    word, of, key, _, length, *view = parts
    if word != "storage" or not isinstance(key, str) or type(length) is not int or length < 0 or any(view):
        raise UnreadablePickle("a storage that torch.save does not write")
    name = of.name.rpartition(".")[2].removesuffix("Storage")
    stack.append(Storage(key, OF_STORAGES[name], length))


def _reference(function: str, storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> Reference:
    axes = len(shape)
    if not isinstance(storage, Storage) or not len(stride) == axes <= MOST_AXES:
        raise UnreadablePickle("a tensor without a storage, or with too many axes")
    if any(type(n) is not int or not 0 <= n < 2**63 for n in (offset, *shape, *stride)):
        raise UnreadablePickle("a tensor with an invalid shape")
    dtype = DTYPES[more[2].name.rpartition(".")[2]] if function == "_rebuild_tensor_v3" else storage.dtype
    return Reference(storage, offset, tuple(shape), tuple(stride), dtype, function == "_rebuild_qtensor")


DTYPES: dict[str, torch.dtype] = {n: t for n in dir(torch) if isinstance(t := getattr(torch, n), torch.dtype)}
OF_STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64, "Untyped": torch.uint8,
    "QInt8": torch.int8, "QUInt8": torch.uint8, "QInt32": torch.int32, "QUInt4x2": torch.uint8, "QUInt2x4": torch.uint8,
}  # fmt: skip
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINSTRING", "BINSTRING", "UNICODE", "STRING", "BINBYTES", "SHORT_BINBYTES")
_STEPS: dict[str, Callable[[list[Any], dict[int, Any], Any], None]] = {
    **dict.fromkeys((*_NUMBERS, *_TEXTS), _push),
    "PROTO": lambda stack, memo, argument: None,
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_DICT": _constant(dict),
    "EMPTY_LIST": _constant(list),
    "EMPTY_TUPLE": _constant(tuple),
    "MARK": lambda stack, memo, argument: stack.append(_MARK),
    "POP": lambda stack, memo, argument: stack.pop(),
    "TUPLE": lambda stack, memo, argument: stack.append(tuple(_marked(stack))),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "GET": lambda stack, memo, argument: stack.append(memo[argument]),
    "BINGET": lambda stack, memo, argument: stack.append(memo[argument]),
    "LONG_BINGET": lambda stack, memo, argument: stack.append(memo[argument]),
    "APPEND": lambda stack, memo, argument: _append(stack, [stack.pop()]),
    "APPENDS": lambda stack, memo, argument: _append(stack, _marked(stack)),
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    "GLOBAL": _global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
