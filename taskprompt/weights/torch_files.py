"""Files of torch.save, in the zip or the legacy format: their data, with memory-mapped tensors."""

import math
import mmap
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from taskprompt.core.errors import CheckpointError
from taskprompt.weights.pickle import ForeignObject, Reference, Storage, UnreadablePickle, interpret

MAGIC = 0x1950A86A20F9469CFC6C  # magic number of the legacy format
Place = tuple[int, int]  # position of a storage in the file: offset and size in bytes


class TorchFile:
    """The data of a file, with References in place of tensors; `tensor` converts one to a tensor."""

    def __init__(self, path: Path, *, zipped: bool, expected: str):
        self.path = path
        self._views: set[tuple[Any, ...]] = set()
        self._taken = 0  # bytes of all requested tensors
        try:
            with open(path, "rb") as file:
                # Private mapping: writing to a tensor does not change the file.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            self.data, self._place = self._read_zip() if zipped else self._read_old()
        except ForeignObject as error:
            raise CheckpointError(
                f"{path}: contains more than tensors and plain data: {short(error)}. Such a file can run code, so "
                "it was not read. Look for a safetensors version; or, if you trust its author, save the state_dict in "
                "it alone."
            ) from None
        except UnreadablePickle as error:
            raise CheckpointError(
                f"{path}: is damaged, or a pickle that torch.save did not write ({short(error)}). {expected}."
            ) from None
        # zipfile raises NotImplementedError for an archive that says it is of a later version of the format.
        except (OSError, ValueError, OverflowError, struct.error, NotImplementedError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: is damaged or cut off: {short(error)}. Copy it again.") from None

    def tensor(self, name: str, reference: Reference) -> Tensor:
        """Raises CheckpointError if the file has fewer values than the tensor."""
        storage = reference.storage
        start, length = self._place(storage)
        count, size = math.prod(reference.shape), reference.dtype.itemsize
        last = reference.offset + sum((n - 1) * s for n, s in zip(reference.shape, reference.stride, strict=True))
        end, wanted = (last + 1) * size if count else 0, storage.length * storage.dtype.itemsize
        view = (start, reference.offset, reference.shape, reference.stride, reference.dtype)
        self._taken += 0 if view in self._views else count * size
        self._views.add(view)
        if wanted > length or end > wanted or count * size > wanted or self._taken > 2 * len(self._map):
            raise CheckpointError(
                f"{self.path}: is damaged or cut off: its tensor {name} is larger than its data in the file. "
                "Copy it again."
            )
        if not count:
            return torch.zeros(reference.shape, dtype=reference.dtype)
        data = torch.frombuffer(self._map, dtype=torch.uint8, offset=start, count=wanted - wanted % size)
        if start % size:
            data = data.clone()
        return data.view(reference.dtype).as_strided(reference.shape, reference.stride, reference.offset)

    def _read_zip(self) -> tuple[Any, Callable[[Storage], Place]]:
        """A zip with data.pkl and one entry per storage."""
        with zipfile.ZipFile(self.path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
        if not pickles:
            raise CheckpointError(
                f"{self.path}: is a zip of other files, such as {min(entries, default='none')[:100]}. "
                "Expected safetensors, or a file of torch.save."
            )
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries:
            raise CheckpointError(
                f"{self.path}: is a TorchScript archive, which contains code, so it was not read. "
                "Save only its state_dict()."
            )

        def place(name: str) -> Place:
            info = entries.get(name)
            if info is None or info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise ValueError(f"{name} is missing, or compressed")
            header = self._map[info.header_offset : info.header_offset + 30]
            start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
            if header[:4] != b"PK\x03\x04" or start + info.file_size > len(self._map):
                raise ValueError(f"{name} is not where the file says")
            return start, info.file_size

        def of(storage: Storage) -> Place:
            try:
                return place(f"{root}data/{storage.key}")
            except (ValueError, struct.error) as error:
                raise CheckpointError(f"{self.path}: is damaged or cut off: {short(error)}. Copy it again.") from None

        if f"{root}byteorder" in entries:
            start, length = place(f"{root}byteorder")
            if self._map[start : start + length] == b"big":
                raise ValueError("its numbers are those of a big-endian machine")
        start, length = place(pickles[0])
        self._map.seek(start)
        return interpret(_Part(self._map, start + length)), of

    def _read_old(self) -> tuple[Any, Callable[[Storage], Place]]:
        """Legacy format: three pickles, the data's pickle, a pickle of the storages' keys, and the storages in
        order."""
        file = _Part(self._map, len(self._map))
        first = interpret(file)
        if first != MAGIC:
            raise UnreadablePickle("its first pickle is not that of torch.save")
        if interpret(file) != 1001:
            raise UnreadablePickle("another version of the format")
        system = interpret(file)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise UnreadablePickle("its numbers are those of a big-endian machine")
        data, keys = interpret(file), interpret(file)
        if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys) or len(set(keys)) != len(keys):
            raise UnreadablePickle("the list of its storages")
        sizes, places, at = {s.key: s.dtype.itemsize for s in storages(data)}, {}, self._map.tell()
        for key in keys:
            if key not in sizes:  # without a tensor its type, and so the position of the next one, is unknown
                break
            length = int.from_bytes(self._map[at : at + 8], "little", signed=True)
            places[key] = (at + 8, length * sizes[key])
            at += 8 + length * sizes[key]
            if length < 0 or at > len(self._map):
                raise ValueError("unexpected EOF, the file is shorter than it says")

        def of(storage: Storage) -> Place:
            if storage.key not in places:
                raise CheckpointError(f"{self.path}: is damaged or cut off: a storage is missing. Copy it again.")
            return places[storage.key]

        return data, of


class _Part:
    """A readable part of a mapped file, up to `end`."""

    def __init__(self, data: mmap.mmap, end: int):
        self._data, self._end = data, end

    def read(self, count: int) -> bytes:
        return self._data.read(min(count, max(self._end - self._data.tell(), 0)))

    def readline(self) -> bytes:
        line = self._data.readline()
        return line if self._data.tell() <= self._end else b""

    def tell(self) -> int:
        return self._data.tell()


def storages(data: Any) -> list[Storage]:
    """All storages in nested data."""
    found, seen, left = [], set(), [data]
    while left:
        part = left.pop()
        if isinstance(part, Reference):
            found.append(part.storage)
        elif isinstance(part, (dict, list, tuple)) and id(part) not in seen:
            seen.add(id(part))
            left.extend(part.values() if isinstance(part, dict) else part)
    return found


def short(error: Exception) -> str:
    """The first sentence of an error, without line breaks."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return text.split(". ")[0].rstrip(".")[:200] or type(error).__name__
