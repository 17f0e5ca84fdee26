"""Pickles in the form of torch.save, written opcode by opcode, to say what torch.save itself never would."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

START = b"\x80\x02"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def tensor(shape: tuple[int, ...], stride: tuple[int, ...], *, offset: int = 0, length: int = 1) -> bytes:
    """A tensor as a view of the storage `0`, which is said to hold `length` float32."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(length) + b"tQ"
    sizes, steps = (b"(" + b"".join(map(integer, values)) + b"t" for values in (shape, stride))
    rebuilt = storage + integer(offset) + sizes + steps + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + rebuilt + b"tR"


def dictionary(items: Mapping[str, bytes]) -> bytes:
    return START + b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u."


def write(path: str | Path, pickle: bytes, *, compressed: bool = False) -> None:
    """A zip of that pickle and of one storage of four bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as file:
        file.writestr("a/data.pkl", pickle)
        file.writestr("a/data/0", b"\0\0\x80?")
