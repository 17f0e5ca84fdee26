"""Changes of text and what it says: yaml, json, csv, overrides."""

import json
import random
from typing import Any

import yaml
from fuzz_bytes import MARKER, MODULES, SHELL, TEXTS, VALUES, flip
from fuzz_seeds import Seed


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
                return [*node, *node[at:]]
            case 2:
                return [*node[:at], rng.choice(VALUES), *node[at:]]
            case _:
                return [*node[:at], _tree(rng, node[at]), *node[at + 1 :]]
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
