"""Reading of untrusted arrays, images and json.

Declared sizes are checked before memory is allocated, nothing is unpickled or executed, and every problem with a file
is a SampleError that names it.
"""

import json
import math
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

from taskprompt.core.errors import SampleError

MOST = 1 << 29  # bytes of a file's arrays in memory at once
MOST_OF_A_ROW = 1 << 28  # bytes of one frame
MOST_OF_AN_ARCHIVE = 1 << 32  # bytes of one array of an npz, which must be unpacked to be checked
MOST_OF_A_JSON = 1 << 26  # bytes of text; parsed json takes twenty times as much
PLAIN = "buifUS"  # numpy dtype kinds: integers, real numbers, text
GREY, COLOUR, PALETTE = 0, 2, 3  # colour types in a png's header

Each = Callable[[np.ndarray], np.ndarray]


@contextmanager
def damage(file: Path) -> Iterator[None]:
    """Around the reading of one file: an error of a parser becomes a SampleError that names the file."""
    try:
        yield
    except SampleError:
        raise
    except Exception as error:  # parsers of damaged files raise many kinds: zlib.error, TokenError, RecursionError, ...
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
        raise SampleError(f"{file}: cannot be read: {reason}. Replace the file or remove it.") from None


def present(file: Path) -> bool:
    """Whether the file exists. Raises SampleError if the path is not a file: a folder, a broken link."""
    with damage(file):
        try:
            found = os.stat(file)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(file):
                raise SampleError(f"{file}: is a broken link. Replace it or remove it.") from None
            return False
        if not stat.S_ISREG(found.st_mode):
            raise SampleError(f"{file}: is not a file. Replace it or remove it.")
        return True


def read_json(file: Path) -> Any:
    """The content of a json file. Raises SampleError if it cannot be read or is larger than 64 MiB."""
    with damage(file), open(file, "rb") as stream:
        data = stream.read(MOST_OF_A_JSON + 1)
        if len(data) > MOST_OF_A_JSON:
            raise SampleError(f"{file}: is larger than {MOST_OF_A_JSON >> 20} MiB. Store such labels as npy or npz.")
        return json.loads(data)


class Header(NamedTuple):
    """The header of an npy file."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int  # offset of the values in bytes

    @property
    def size(self) -> int:
        """The array's size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """One array of an npy or npz file, from which rows can be read without reading all of it."""

    def __init__(self, file: Path, stream: IO[bytes], size: int, packed: bool):
        self.file, self.stream, self.packed = file, stream, packed
        self.header = _header(stream, file)
        self.shape = self.header.shape
        if self.header.start + self.header.size > size:
            raise SampleError(f"{file}: is cut off: its array takes {self.header.size} bytes. Replace the file.")

    def whole(self) -> np.ndarray:
        """The whole array. Raises SampleError for one of more than 512 MiB."""
        self._check(self.header.size, MOST, "an array")
        values = self._values(self.header.size, self.shape, "F" if self.header.fortran else "C")
        self._finish()
        return values

    def rows(self, at: np.ndarray, each: Each = lambda row: row) -> np.ndarray:
        """k indices -> k ..., each row as `each` gives it."""
        if self.header.fortran:
            values = self.whole()
            return np.stack([each(values[i]) for i in at.tolist()])
        size = self.header.size // max(1, self.shape[0])
        self._check(size, MOST_OF_A_ROW, "a frame")
        found, taken = {}, 0
        for i in sorted(set(at.tolist())):
            self._skip_to(self.header.start + i * size)
            found[i] = each(self._values(size, self.shape[1:]))
            taken += found[i].nbytes
            self._check(taken, MOST, "the clip's frames")
        self._finish()
        return np.stack([found[i] for i in at.tolist()])

    def _values(self, size: int, shape: tuple[int, ...], order: Any = "C") -> np.ndarray:
        data = self.stream.read(size)
        if len(data) < size:
            raise SampleError(f"{self.file}: is cut off. Replace the file.")
        values = np.frombuffer(data, self.header.dtype).reshape(shape, order=order)
        return values.astype(self.header.dtype.newbyteorder("="), copy=False)

    def _skip_to(self, at: int) -> None:
        if not self.packed:
            self.stream.seek(at)
        while self.packed and (left := at - self.stream.tell()) > 0:
            if not self.stream.read(min(left, 1 << 20)):
                raise SampleError(f"{self.file}: is cut off. Replace the file.")

    def _finish(self) -> None:
        """Read an archive to its end, where its checksum is compared."""
        while self.packed and self.stream.read(1 << 20):
            pass

    def _check(self, size: int, most: int, what: str) -> None:
        if size > most:
            raise SampleError(
                f"{self.file}: {what} takes {size >> 20} MiB, expected at most {most >> 20}. Store smaller arrays."
            )


@contextmanager
def open_array(file: Path, key: str | None = None) -> Iterator[ArrayFile]:
    """The array of an npy file, or one of an npz: the one called `key`, or the only one.

    Raises SampleError if the file is damaged or has other data than numbers or text."""
    with damage(file), open(file, "rb") as stream:
        if file.suffix.lower() == ".npy":
            yield ArrayFile(file, stream, os.fstat(stream.fileno()).st_size, packed=False)
            return
        with zipfile.ZipFile(stream) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            member = members[chosen(file, key, members)]
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise SampleError(f"{file}: has a compression that NumPy does not write. Save it with np.savez.")
            if member.file_size > MOST_OF_AN_ARCHIVE:
                raise SampleError(
                    f"{file}: an array takes {member.file_size >> 30} GiB. Save it as npy, which is read row by row."
                )
            with archive.open(member) as inner:
                yield ArrayFile(file, inner, member.file_size, packed=True)


def chosen(file: Path, key: str | None, found) -> str:
    """`key`, or the only entry. Raises SampleError if it is missing, or there are several."""
    if key is None and len(found) == 1:
        return next(iter(found))
    if key is None or key not in found:
        names = ", ".join(map(str, list(found)[:20])) or "no entries"
        raise SampleError(f"{file}: holds {names}; expected {key or 'one, or set `key`'}.")
    return key


def read_png(file: Path, check: Callable[[tuple[int, int]], None]) -> np.ndarray:
    """h w of one channel, as stored: palette indices, or grey of 1 to 16 bits. `check` is called with (h, w) first.

    Raises SampleError for a damaged file, and for one with colours."""
    with damage(file):
        with open(file, "rb") as stream:
            head = stream.read(26)
            if len(head) < 26 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
                raise SampleError(f"{file}: cannot be read: it is not a png. Replace the file or remove it.")
            width, height, depth, colour = struct.unpack(">IIBB", head[16:])
            if colour not in (GREY, PALETTE):
                raise SampleError(f"{file}: has colours or transparency; a map has one channel. Save it as grey.")
            check((height, width))
            if width * height * 2 > MOST_OF_A_ROW or os.fstat(stream.fileno()).st_size > MOST_OF_A_ROW:
                raise SampleError(f"{file}: is {height} x {width} pixels, more than can be read. Make it smaller.")
            data = head + stream.read()
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            picture.verify()  # compares the checksums
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            values = np.array(picture)
        # Pillow scales grey of 2 and 4 bits to 0 to 255.
        return values // (255 // (2**depth - 1)) if colour == GREY and depth in (2, 4) else values


def _header(stream: IO[bytes], file: Path) -> Header:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise SampleError(f"{file}: is an npy file of version {version}, expected numbers, of version 1.0 or 2.0.")
    shape, fortran, dtype = readers[version](stream)
    if dtype.kind not in PLAIN or dtype.itemsize == 0:
        what = "Python objects" if dtype.hasobject else f"the type {dtype}"
        raise SampleError(f"{file}: holds {what}, expected numbers. Save it as an array of numbers.")
    if any(n < 0 for n in shape):
        raise SampleError(f"{file}: cannot be read: its shape is {shape}. Replace the file.")
    return Header(shape, dtype, fortran and len(shape) > 1, stream.tell())
