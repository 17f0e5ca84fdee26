"""Changes of label files: npy, npz, png."""

import io
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from fuzz_bytes import INTS, SHELL, Payload, flip
from fuzz_seeds import Seed, packed, zipped


def header(descr: Any, shape: Any, fortran: Any = "False", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode("latin1", "replace")
    text = text.ljust(117) + b"\n"
    size = struct.pack("<H", len(text) & 0xFFFF) if version[0] == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + version + size + text


def as_npy(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    array = np.load(io.BytesIO(seed.data))
    match rng.randrange(9):
        case 0:
            shape = rng.choice(
                (
                    "()",
                    "(0,)",
                    "(-1,)",
                    f"({1 << 40},)",
                    "(1<<40,)",
                    "(12, 1000000, 1000000)",
                    "(3, 'a')",
                    "[12]",
                    "5",
                    "(" * 99,
                )
            )
            return header(repr(array.dtype.str), shape) + array.tobytes()
        case 1:
            descr = rng.choice(
                (
                    "'|O'",
                    "'<U99999999'",
                    "'V8'",
                    "[('a', '<f4'), ('b', '|O')]",
                    "'<M8[ns]'",
                    "'<c16'",
                    "'?'",
                    "'<f2'",
                    "'x'",
                    "3",
                )
            )
            return header(descr, array.shape) + array.tobytes()
        case 2:
            return packed(lambda f: np.save(f, np.array([Payload(), None], object), allow_pickle=True))
        case 3:
            changed = array.astype(rng.choice(("f2", "f8", "i1", "u8", "c8", "U5", "?", "M8[s]", "S3", "O")), copy=True)
            return packed(lambda f: np.save(f, changed, allow_pickle=True))
        case 4:
            values = np.array(array, np.float64)
            values.flat[rng.randrange(values.size)] = rng.choice((np.nan, np.inf, -np.inf, -1, 1e300))
            return packed(lambda f: np.save(f, values))
        case 5:
            shapes = [
                array[0],
                array[None],
                array.T,
                array[:0],
                array.reshape(-1),
                array[..., :1],
                array[:1],
                array.ravel()[0],
            ]
            return packed(lambda f: np.save(f, rng.choice(shapes)))
        case 6:
            version = rng.choice((b"\x02\x00", b"\x03\x00", b"\x09\x00", b"\x00\x00"))
            return header(repr(array.dtype.str), array.shape, version=version) + array.tobytes()
        case 7:
            return (
                header(
                    repr(array.dtype.str), array.shape, fortran=rng.choice(("True", "1", "None", "__import__('os')"))
                )
                + b"x"
            )
        case _:
            return flip(rng, seed.data, [s.data for s in seeds])


def zip_parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return {name: found.read(name) for name in found.namelist()}


def as_zip(rng: random.Random, data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """A zip with an entry, its name, or its directory changed."""
    parts = zip_parts(data)
    name = rng.choice(list(parts))
    match rng.randrange(10):
        case 0 | 1 | 2 | 3:
            parts[name] = change(name, parts[name])
        case 4:
            parts[rng.choice(("../x.npy", "/x.npy", "", "a\0b", name + "x", "b/" + name))] = parts.pop(name)
        case 5:
            del parts[name]
        case 6:  # a bomb: a small file that says that it is large, and is
            parts[name] = header("'<f4'", f"({rng.choice((1 << 20, 1 << 28, 1 << 30))},)") + bytes(
                rng.choice((1 << 20, 64 << 20))
            )
        case 7:
            raw = bytearray(zipped(parts))
            for mark, at in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
                if rng.random() < 0.8 and (found := raw.find(mark)) >= 0:
                    raw[found + at : found + at + 2] = struct.pack("<H", rng.choice((0, 1, 8, 9, 12, 14, 93, 99)))
            return bytes(raw)
        case 8:
            raw = bytearray(data)
            found = raw.rfind(b"PK\x01\x02" if rng.random() < 0.5 else b"PK\x05\x06")
            at = found + rng.randrange(4, 40)
            raw[at : at + 4] = struct.pack("<I", rng.choice(INTS) & 0xFFFFFFFF)
            return bytes(raw)
        case _:
            parts[rng.choice(("more.npy", "evil.pkl", "data.pkl"))] = pickle.dumps(Payload())
    return zipped(parts, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))


def as_npz(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    if rng.random() < 0.3:
        return flip(rng, seed.data, [s.data for s in seeds])
    return as_zip(rng, seed.data, lambda name, data: as_npy(rng, Seed(data), [Seed(data)]))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def as_png(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    data, mark = seed.data, seed.data[:8]
    size = struct.pack(">II", *(rng.choice((0, 1, 24, 32, 5000, 30_000, 1 << 20, (1 << 31) - 1)) for _ in "hw"))
    depth = bytes((rng.choice((1, 2, 4, 8, 16, 3, 0)), rng.choice((0, 2, 3, 4, 6, 5)), 0, 0, rng.choice((0, 1, 9))))
    end = chunk(b"IEND", b"")
    script = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%{SHELL}) (w) file\nshowpage\n".encode()
    match rng.randrange(9):
        case 0:
            return data[:16] + size + data[24:]
        case 1:
            return mark + chunk(b"IHDR", size + data[24:29]) + data[33:]
        case 2:
            return mark + chunk(b"IHDR", data[16:24] + depth) + data[33:]
        case 3:
            wide = struct.pack(">II", *rng.choice(((20_000, 20_000), (60_000, 60_000), (4, 1 << 30))))
            return mark + chunk(b"IHDR", wide + depth) + chunk(b"IDAT", zlib.compress(bytes(9 << 20))) + end
        case 4:
            return script
        case 5:
            text = rng.choice((b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"PLTE", b"tRNS", b"acTL", b"fdAT"))
            return data[:33] + chunk(text, b"a\0\0" + zlib.compress(bytes(rng.choice((9, 90 << 20))))) + data[33:]
        case 6:
            start = rng.choice(
                (
                    b"GIF89a",
                    b"BM",
                    b"II*\0",
                    b"8BPS",
                    b"\xff\xd8\xff",
                    b"RIFF",
                    b"\0\0\1\0",
                    b"\x0a\x05",
                    b"icns",
                    b"P6 9999999 9999999 255\n",
                )
            )
            return start + data[8:] + rng.randbytes(200)
        case _:
            return flip(rng, data, [s.data for s in seeds])
