"""Changes to valid inputs: of bytes, and of what the bytes mean. A seed always gives the same input."""

import io
import json
import pickle
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import yaml
from fuzz_seeds import Seed, packed, zipped

MARKER = "EXECUTED"  # a file that only executed input would make
SHELL = f"touch {MARKER}"
INTS = (
    0,
    1,
    2,
    3,
    7,
    8,
    127,
    128,
    255,
    256,
    32767,
    65535,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    1 << 62,
)
TEXTS = (
    *(
        "",
        "\0",
        "\x1b]0;owned\x07",
        "a" * 70_000,
        "../../../etc/passwd",
        "/dev/zero",
        "~",
        "$HOME",
        "${HOME}",
        "{0.__class__}",
    ),
    *(
        "nan",
        "inf",
        "-1",
        "1e999",
        "antigravity:X",
        "pty:spawn",
        "\ud800",
        "\u202e",
        "<b>",
        "$x_{$",
        "s3://k:pa55@b/x",
        "null",
    ),
    *("|O", "<f4", "object", "<U9999999", "V9", "tokens", "folder", "mvit", "%s%n", "é" * 300, "__class__", "."),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        3,
        2**31,
        2**63,
        -(2**63),
        10**30,
        0.5,
        -0.0,
        float("nan"),
        float("inf"),
        1e308,
        1e-320,
    ),
    *([], {}, [[]], [None], {"": None}, {"kind": "tokens"}, [0, 1], [1] * 100, "x"),
)
MODULES = ("antigravity", "pty", "this", "turtle", "idlelib.pyshell")  # that nothing here needs
Mutate = Callable[[random.Random, Seed, list[Seed]], bytes]


class Payload:
    """Unpickled, it runs a command."""

    def __reduce__(self):
        import os

        return os.system, (SHELL,)


def flip(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to a few changes of bytes, mostly near the ends, where headers and indices lie."""
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8, 40))):
        size = len(raw)
        near = rng.choice((size, size, 64, 512, 4096))
        at = rng.randrange(min(size, near) or 1)
        at = at if rng.random() < 0.7 else max(0, size - 1 - at)
        match rng.randrange(10):
            case 0 if size:
                raw[at] ^= 1 << rng.randrange(8)
            case 1 if size:
                raw[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del raw[at:]
            case 3:
                del raw[at : at + rng.choice((1, 4, 16, 300))]
            case 4:
                raw[at:at] = raw[at : at + rng.choice((1, 8, 64, 3000))]
            case 5:
                raw[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
            case 6:
                raw[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(INTS) & 0xFFFFFFFF)
            case 7:
                raw[at : at + 8] = struct.pack(rng.choice("<>") + "Q", rng.choice(INTS))
            case 8:
                other = rng.choice(others)
                cut = rng.randrange(len(other) or 1)
                raw[at:] = other[cut:]
            case _:
                raw[at : at + 64] = bytes(64)
    return bytes(raw)


def grow(rng: random.Random, node: Any, depth: int) -> Any:
    """A node inside many lists or dictionaries."""
    for _ in range(depth):
        node = [node] if rng.random() < 0.5 else {"a": node}
    return node


def tree(rng: random.Random, node: Any) -> Any:
    """Plain data with a few places changed."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        node = _tree(rng, node)
    return node


def _tree(rng: random.Random, node: Any) -> Any:
    inside = isinstance(node, (dict, list)) and node and rng.random() < 0.85
    if inside and isinstance(node, dict):
        key = rng.choice(list(node))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in node.items() if k != key}
            case 1:
                return node | {rng.choice((*TEXTS, 3, None, True, -1.5)): node[key]}
            case 2:
                return {(rng.choice(TEXTS) if k == key else k): v for k, v in node.items()}
            case _:
                return node | {key: _tree(rng, node[key])}
    if inside:
        at = rng.randrange(len(node))
        match rng.randrange(7):
            case 0:
                return node[:at]
            case 1:
                return node + node[at:]
            case 2:
                return node[:at] + [rng.choice(VALUES)] + node[at:]
            case _:
                return node[:at] + [_tree(rng, node[at])] + node[at + 1 :]
    match rng.randrange(6):
        case 0 | 1:
            return rng.choice(VALUES)
        case 2:
            return rng.choice(TEXTS)
        case 3 if isinstance(node, (int, float)):
            return rng.choice((-node, node * 1000, node + 0.5, str(node), [node], 10**400))
        case 4:
            return grow(rng, node, rng.choice((1, 1, 2, 30)))
        case _:
            return {"kind": f"{rng.choice(MODULES)}:{rng.choice(('X', 'spawn', 'main'))}"}


def as_yaml(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    text = seed.data.decode()
    if rng.random() < 0.6:
        data = tree(rng, yaml.safe_load(text))
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    head = lines[at].partition(":")[0] + ": "
    n = rng.choice((3, 30, 900, 20_000))
    lines[at] = rng.choice(
        (
            head + "[" * n,
            head + "{a: " * n,
            head + "[" * n + "]" * n,
            head + f"!!python/object/apply:os.system ['{SHELL}']",
            head + f"!!python/object/new:subprocess.Popen [['touch', '{MARKER}']]",
            head + "!!python/name:os.system",
            head + "!!timestamp 2001-99-99",
            head + "2001-02-30",
            head + "!!int x",
            head + "!!binary ###",
            head + "!!float ''",
            head + "1" * 5000,
            head + "0x" + "f" * 4999,
            head + "190:20:30:59.15",
            head + "&a [*a, *a]",
            head + "&a {a: *a}",
            head + "*nothing",
            head + "<<: [1]",
            head + "!!set {a, b}",
            head + "!!omap [1]",
            head + "? [a]\n  : b",
            head + ".inf",
            head + ".nan",
            "---\n" + lines[at],
            "\t" + lines[at],
            "%YAML 9.9",
            "\ufeff" + lines[at],
            "a0: &a0 [x, x]\n"
            + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, n % 25 + 2)),
            lines[at] + "\n" + lines[at],
            "extends: " + rng.choice(("r.yaml", ".", "/dev/zero", "../..", "[1]", "x\0y", "/etc/passwd")),
        )
    )
    return "\n".join(lines).encode()


def as_json(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    try:
        text = json.dumps(tree(rng, json.loads(seed.data)))
    except ValueError:  # not json after all
        return flip(rng, seed.data, [s.data for s in seeds])
    if rng.random() < 0.15:
        n = rng.choice((10, 900, 30_000))
        text = rng.choice(
            ("[" * n, "[" * n + "]" * n, '{"a":' * n, "1" * 5000, "NaN", '"\\ud800"', text + text, f"[{text}]", "1e999")
        )
    return text.encode("utf-8", "surrogatepass")


def as_lines(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    """jsonl: one line changed."""
    lines = seed.data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = as_json(rng, Seed(lines[at] or b"{}"), seeds)
    return b"\n".join(lines)


def as_csv(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    rows = [line.split(b",") for line in seed.data.split(b"\n")]
    for _ in range(rng.choice((1, 2, 3))):
        row = rng.choice(rows)
        if row:
            text = rng.choice(
                (*TEXTS, '"', '"a\nb"', "a;b", "1e400", "-0.5", "walk/c.mp4", "..", "=1+1", "\r", "walk/../walk/c.mp4")
            )
            row[rng.randrange(len(row))] = text.encode("utf-8", "surrogatepass")
    return b"\n".join(b",".join(row) for row in rows)


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


def as_table(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    if rng.random() < 0.5:
        return flip(rng, seed.data, [s.data for s in seeds])
    table = parquet.read_table(io.BytesIO(seed.data))
    rows, names = table.to_pylist(), table.schema.names
    name = rng.choice(names)
    try:
        match rng.randrange(6):
            case 0:
                table = table.drop_columns([name])
            case 1:
                table = table.rename_columns([rng.choice(TEXTS) if n == name else n for n in names])
            case 2:
                for row in rng.sample(rows, 3):
                    row[name] = rng.choice(
                        (None, *TEXTS[:9], *VALUES[:12], b"\0" * 9, [1 << 40], [-1], [], "[" * 90_000, '{"a": 1', "3")
                    )
                table = pa.Table.from_pylist(rows, table.schema)
            case 3:
                row = rng.choice(rows)
                row |= {"form": rng.choice(("text", "json", "array", "embedding", "map", "boxes", "x", "", "joints"))}
                row |= {"dtype": rng.choice(("<f4", "|O", "<U99", "x", "V9", None, "<f8"))}
                row |= {"shape": rng.choice(([-1, 3], [1 << 40], [2, 3], [], None, [0, 1 << 62]))}
                table = pa.Table.from_pylist(rows, table.schema)
            case 4:
                kind = rng.choice(
                    (
                        pa.large_string(),
                        pa.binary(),
                        pa.int64(),
                        pa.list_(pa.int8()),
                        pa.dictionary(pa.int32(), pa.string()),
                        pa.null(),
                    )
                )
                column = pa.nulls(len(rows), kind)
                table = table.set_column(names.index(name), name, column)
            case _:
                extra = {
                    b"ARROW:extension:name": rng.choice(
                        (b"ray.data.arrow_tensor", b"arrow.py_extension_type", b"ray.data.arrow_pickled_object")
                    )
                }
                extra |= {b"ARROW:extension:metadata": pickle.dumps(Payload())}
                at = names.index(name)
                table = table.cast(table.schema.set(at, table.schema.field(at).with_metadata(extra)))
    except (pa.ArrowException, TypeError, OverflowError, UnicodeError, ValueError):  # no parquet can hold this change
        return flip(rng, seed.data, [s.data for s in seeds])
    return packed(lambda f: parquet.write_table(table, f, compression="zstd"))


def as_safetensors(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    size = struct.unpack("<Q", seed.data[:8])[0]
    head, body = json.loads(seed.data[8 : 8 + size]), seed.data[8 + size :]
    name = rng.choice([n for n in head if n != "__metadata__"])
    match rng.randrange(7):
        case 0:
            head = tree(rng, head)
        case 1:
            head[name]["data_offsets"] = [rng.choice((*INTS, -1)), rng.choice((*INTS, -1))]
        case 2:
            head[name]["shape"] = rng.choice(([1 << 40], [-1], [1 << 31, 1 << 31, 4], [], [0], "x"))
        case 3:
            head[name]["dtype"] = rng.choice(("F64", "BF16", "F8_E4M3", "I64", "X", "BOOL", 3, "F4", "C64"))
        case 4:
            head["__metadata__"] = {
                "taskprompt": rng.choice(("[" * 90_000, "3", "null", "[1]", '{"kind": 3}', '{"kind":"antigravity:X"}'))
            }
        case 5:
            text = json.dumps(head).encode()
            return struct.pack("<Q", rng.choice(INTS)) + text + body
        case _:
            return flip(rng, seed.data, [s.data for s in seeds])
    text = json.dumps(head).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def hostile_pickle(rng: random.Random) -> bytes:
    call = rng.choice(
        (
            b"cos\nsystem\n",
            b"cposix\nsystem\n",
            b"cbuiltins\neval\n",
            b"csubprocess\nPopen\n",
            b"cpty\nspawn\n",
            b"ctorch\nload\n",
        )
    )
    unicode = b"X" + struct.pack("<I", len(SHELL)) + SHELL.encode()
    n = rng.choice((9, 900, 200_000))
    return rng.choice(
        (
            b"\x80\x02" + call + unicode + b"\x85R.",
            pickle.dumps(Payload()),
            b"\x80\x02" + b"]" * n + b"a" * (n - 1) + b".",
            b"\x80\x02}" + b"X\xff\xff\xff\x7f" + b"a.",
            b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b".",
            b"\x80\x02r" + struct.pack("<I", 1 << 31) + b".",
            b"\x80\x02\x8a\xff" + bytes(255) + b".",
            b"\x80\x02(" * n + b"t" * n + b".",
            b"\x80\x02cargparse\nNamespace\n)\x81}X\x01\0\0\0aK\x01sb.",
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00(J\xff\xff\xff\x7ft(K\x01t\x89}tR.",
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
            b"\x80\x02" + b"ccollections\nOrderedDict\n)R" * 3 + b".",
            b"\x80\x02K\x01K\x02\x86Q.",
        )
    )


def as_pth(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    import torch

    match rng.randrange(6):
        case 0:
            weight = torch.ones(4, 4)
            odd: Any = rng.choice(
                (
                    weight.to(torch.int8),
                    weight * float("nan"),
                    weight.to(torch.complex64),
                    weight.to_sparse(),
                    weight.expand(1 << 12, 4, 4),
                    torch.ones(1).expand(1 << 36),
                    torch.zeros(0),
                    torch.tensor(1.0),
                    torch.nn.Parameter(weight),
                    weight.to(torch.float8_e4m3fn),
                    [weight],
                    "text",
                    torch.empty(3, device="meta"),
                    torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
                )
            )
            name = rng.choice(
                ("blocks.0.weight", "module." * rng.choice((1, 3, 2000)) + "a", "", "a" * 9999, 3, None, ("a",))
            )
            data: Any = (
                {name: odd} if rng.random() < 0.5 else {"model": {name: odd, "b": weight}, "x": rng.choice(VALUES)}
            )
            if rng.random() < 0.2:
                data = grow(rng, data, rng.choice((3, 90)))
            if rng.random() < 0.1:
                data = {"model": data}
                data["model"]["model"] = data  # goes round in a circle
            return packed(lambda f: torch.save(data, f, _use_new_zipfile_serialization=rng.random() < 0.7))
        case 1:
            return hostile_pickle(rng)
        case 2 if seed.data[:2] == b"PK":
            parts = zip_parts(seed.data)
            parts[next(n for n in parts if n.endswith("data.pkl"))] = hostile_pickle(rng)
            return zipped(parts, zipfile.ZIP_STORED)
        case 3 | 4 if seed.data[:2] == b"PK":
            return as_zip(rng, seed.data, lambda name, data: flip(rng, data, [s.data for s in seeds]))
        case _:
            return flip(rng, seed.data, [s.data for s in seeds])


def as_boxes(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    """mp4, mov: one of the tables of times and places changed, or a box moved, doubled or left out."""
    if rng.random() < 0.4:
        return flip(rng, seed.data, [s.data for s in seeds])
    raw = bytearray(seed.data)
    names = rb"stts|ctts|stss|stsc|stsz|stco|elst|mdhd|mvhd|tkhd|hdlr|stsd|avcC|esds|trun|tfhd|trak|mdia|minf|stbl|moov|mdat"
    boxes = [found.start() for found in re.finditer(names, raw)]
    if not boxes:
        return flip(rng, seed.data, [s.data for s in seeds])
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.choice(boxes)
        size = min(struct.unpack(">I", raw[max(0, at - 4) : max(0, at - 4) + 4].rjust(4, b"\0"))[0], 4096)
        match rng.randrange(6):
            case 0:
                raw[at - 4 : at] = struct.pack(">I", rng.choice(INTS) & 0xFFFFFFFF)
            case 1:
                raw[at : at + 4] = rng.choice((b"free", b"FLIC", b"stts", b"moov", b"mp4v", b"raw ", b"\0\0\0\0"))
            case 2:
                del raw[at - 4 : at - 4 + size]
                return bytes(raw)
            case 3:
                raw[at - 4 : at - 4] = raw[at - 4 : at - 4 + size]
                return bytes(raw)
            case _:
                place = at + 4 + 4 * rng.randrange(max(1, size // 4))
                raw[place : place + 4] = struct.pack(">I", rng.choice(INTS) & 0xFFFFFFFF)
    return bytes(raw)


def as_bytes(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    return flip(rng, seed.data, [s.data for s in seeds])


def as_text(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    key, _, value = seed.data.decode().partition("=")
    key = rng.choice(
        (key, key + ".x", key.replace(".", ".."), "", "sources", "stages.9.lr", "stages.-1.lr", "extends", "a" * 9999)
    )
    value = rng.choice(
        (
            value,
            *TEXTS,
            *map(repr, VALUES),
            "[" * 9999,
            "{a: " * 900,
            "1" * 5000,
            "!!timestamp x",
            "&a [*a]",
            "2001-99-01",
        )
    )
    return f"{key}{rng.choice(('=', '=', '=', '', '=='))}{value}".encode("utf-8", "surrogatepass")


BY_NAME: tuple[tuple[str, Mutate], ...] = (
    *((".jsonl", as_lines), (".json", as_json), (".yaml", as_yaml), (".npz", as_npz)),
    *((".safetensors", as_safetensors), (".mov", as_boxes)),
)


def as_named(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    """One file of several, by its suffix."""
    mutate = next((m for suffix, m in BY_NAME if seed.how["name"].endswith(suffix)), as_bytes)
    return mutate(rng, seed, [seed]) if rng.random() < 0.75 else flip(rng, seed.data, [s.data for s in seeds])


MUTATE: dict[str, Mutate] = {
    **{
        "recipe": as_yaml,
        "override": as_text,
        "npy": as_npy,
        "npz": as_npz,
        "png": as_png,
        "json": as_json,
        "csv": as_csv,
    },
    **{"stored": as_named, "table": as_table, "safetensors": as_safetensors, "pth": as_pth, "run": as_named},
    **{
        "mp4": as_boxes,
        "mov": as_boxes,
        "mkv": as_bytes,
        "avi": as_bytes,
        "ts": as_bytes,
        "webm": as_bytes,
        "gif": as_bytes,
    },
}


def make(kind: str, number: int, seeds: dict[str, list[Seed]]) -> tuple[bytes, Seed]:
    """The input of a kind and a number, and the valid one that it came from."""
    rng = random.Random(f"{kind}:{number}")
    seed = rng.choice(seeds[kind])
    if rng.random() < 0.02:  # another kind's file under this name
        return rng.choice(seeds[rng.choice(sorted(seeds))]).data, seed
    if rng.random() < 0.15:
        return flip(rng, seed.data, [s.data for s in seeds[kind]]), seed
    return MUTATE[kind](rng, seed, seeds[kind]), seed
