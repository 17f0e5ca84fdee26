"""Changes of tables, checkpoints and films: parquet, safetensors, torch.save, mp4."""

import io
import json
import pickle
import random
import re
import struct
import zipfile
from typing import Any

from fuzz_arrays import as_zip, zip_parts
from fuzz_bytes import INTS, SHELL, TEXTS, VALUES, Payload, flip
from fuzz_seeds import Seed, packed, zipped
from fuzz_text import grow, tree

BOXES = rb"stts|ctts|stss|stsc|stsz|stco|elst|mdhd|mvhd|tkhd|hdlr|stsd|avcC|esds|trun|tfhd|trak|mdia|minf|stbl|moov"


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
    boxes = [found.start() for found in re.finditer(BOXES, raw)]
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
