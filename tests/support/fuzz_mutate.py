"""The changed input of a kind and a number."""

import random

from fuzz_arrays import as_npy, as_npz, as_png
from fuzz_bytes import Mutate, as_bytes, flip
from fuzz_files import as_boxes, as_pth, as_safetensors, as_table
from fuzz_seeds import Seed
from fuzz_text import as_csv, as_json, as_lines, as_text, as_yaml

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
        return rng.choice(seeds[rng.choice(sorted(seeds.keys() - {"run"}))]).data, seed
    if rng.random() < 0.15:
        return flip(rng, seed.data, [s.data for s in seeds[kind]]), seed
    try:
        return MUTATE[kind](rng, seed, seeds[kind]), seed
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):  # a change that this input does not allow
        return flip(rng, seed.data, [s.data for s in seeds[kind]]), seed
