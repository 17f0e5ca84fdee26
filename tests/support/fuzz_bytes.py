"""Changes of bytes, and the odd values that all changes draw from. A seed always gives the same input."""

import random
import struct
from collections.abc import Callable
from typing import Any

from fuzz_seeds import Seed

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


def as_bytes(rng: random.Random, seed: Seed, seeds: list[Seed]) -> bytes:
    return flip(rng, seed.data, [s.data for s in seeds])
