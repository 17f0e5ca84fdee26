"""Named colours and patterns, and textures made of them."""

from typing import NamedTuple

import numpy as np

COLORS = {
    "red": (0.75, 0.08, 0.07),
    "green": (0.12, 0.55, 0.16),
    "blue": (0.1, 0.2, 0.75),
    "yellow": (0.9, 0.75, 0.1),
    "white": (0.9, 0.9, 0.88),
    "black": (0.06, 0.06, 0.07),
    "orange": (0.95, 0.42, 0.06),
    "purple": (0.45, 0.12, 0.6),
    "grey": (0.45, 0.45, 0.45),
    "brown": (0.35, 0.2, 0.1),
}  # linear RGB
HAIR = ("black", "brown", "yellow", "grey")
PATTERNS = ("plain", "checked", "striped", "mottled", "bricked")
FINEST = {"plain": 0.12, "checked": 0.25, "striped": 0.167, "mottled": 0.125, "bricked": 0.06}  # share of a tile
SIDE = 64  # pixels of a tile


class Paint(NamedTuple):
    """Colour and pattern of a surface, for rendering and captions."""

    color: str
    pattern: str = "plain"

    def __str__(self) -> str:
        return self.color if self.pattern == "plain" else f"{self.color} {self.pattern}"


def texture(rng: np.random.Generator, color: tuple[float, ...], pattern: str) -> np.ndarray:
    """A tile, h w 3 float32: a colour and a lighter or darker shade of it, so that the colour's name is correct."""
    tone = np.asarray(color)
    second = tone + 0.14 if tone.mean() < 0.15 else tone * 0.55
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    noise = _noise(rng)
    share = {
        "plain": 0 * x,
        "checked": ((x * 4).astype(int) + (y * 4).astype(int)) % 2,
        "striped": (x * 6).astype(int) % 2,
        "mottled": np.clip(4 * noise - 1.5, 0, 1),
        "bricked": ((y * 4) % 1 < 0.24) | ((x * 2 + 0.5 * ((y * 4).astype(int) % 2)) % 1 < 0.12),
    }[pattern][..., None]
    return np.clip((tone * (1 - share) + second * share) * (0.87 + 0.26 * noise[..., None]), 0, 1).astype(np.float32)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """h w in 0..1: random cells of four sizes, mean 0.5."""
    total = np.zeros((SIDE, SIDE))
    for cells, weight in ((8, 1.0), (16, 0.6), (32, 0.4), (64, 0.3)):
        total += weight * rng.random((cells, cells)).repeat(SIDE // cells, 0).repeat(SIDE // cells, 1)
    return total / 2.3
