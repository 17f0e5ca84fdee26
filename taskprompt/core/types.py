"""The records that flow through taskprompt. b batch, t frames, h w pixels or patches, d width, m labelled."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Row = dict[str, Any]  # where a sample is: a flat record of strings and numbers, with a unique "key"
Columns = dict[str, np.ndarray]  # of many rows: name -> values, rows first


@dataclass(frozen=True, slots=True)
class Clip:
    """Decoded frames with their times."""

    video: np.ndarray  # t h w c, uint8 RGB
    times: np.ndarray  # t, seconds from the start of the file
    aspect: float = 1.0  # width over height of a pixel; sources give square ones


# The forms of a label that live in the picture, so that augmentation can move them with the pixels.
# Camera axes are OpenCV's: x right, y down, z forward. A label of no form (a class name, a sentence,
# a number a frame) is a plain value and never moves.


@dataclass(frozen=True, slots=True)
class Map:
    """t h w: a value a pixel. float32 metres for depth, NaN where unknown; uint8 classes, 255 where unknown."""

    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Vectors:
    """t h w 3: unit vectors in camera axes, NaN where unknown; a mirror image negates x."""

    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Boxes:
    """t o 4: x0 y0 x1 y1 in pixels of the clip, a row of NaN where the object is not seen."""

    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Points:
    """t j 2: x y in pixels of the clip, NaN where unknown. `swap` lists the pairs that a mirror exchanges."""

    values: np.ndarray
    swap: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Joints:
    """t j 3: metres in camera axes, NaN where unknown. `swap` lists the pairs that a mirror exchanges."""

    values: np.ndarray
    swap: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Camera:
    """t 3 3: intrinsics in pixels of the clip; moves when the clip is cropped, scaled or mirrored."""

    values: np.ndarray


Form = Map | Vectors | Boxes | Points | Joints | Camera
FORMS: dict[str, Any] = {f.__name__.lower(): f for f in (Map, Vectors, Boxes, Points, Joints, Camera)}


def plain(label: Any) -> Any:
    """The array inside a label that has a form; any other label as it is."""
    return label.values if isinstance(label, Form) else label


@dataclass(frozen=True, slots=True)
class Sample:
    """A clip and the labels that it happens to have, as a source loads it."""

    key: str
    clip: Clip
    labels: dict[str, Any] = field(default_factory=dict[str, Any])  # partial: an absent label is an absent key
    flip_sensitive: bool = False  # left and right matter to a label, so no mirror image


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips of several sources, with a target for each task and each clip that has its label."""

    keys: list[str]
    video: Tensor  # b t h w c, uint8
    targets: dict[str, dict[str, Tensor]]  # task -> array -> m ..., for the m samples that carry its label
    rows: dict[str, Tensor]  # task -> m, where in the batch those samples are
    # task -> what its head reads -> m ...
    inputs: dict[str, dict[str, Tensor]] = field(default_factory=dict[str, dict[str, Tensor]])

    def keys_of(self, task: str) -> list[str]:
        """The keys of the samples that carry a task's label."""
        return [self.keys[i] for i in self.rows[task].cpu().numpy()] if task in self.rows else []

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on `device`; pixels cross as uint8."""
        targets, inputs = (
            {n: {k: v.to(device, non_blocking=True) for k, v in arrays.items()} for n, arrays in tasks.items()}
            for tasks in (self.targets, self.inputs)
        )
        rows = {n: r.to(device, non_blocking=True) for n, r in self.rows.items()}
        return Batch(self.keys, self.video.to(device, non_blocking=True), targets, rows, inputs)


@dataclass(frozen=True, slots=True)
class Features:
    """All that a head may read, whoever filled it: PViT's tokens or FTP's processors."""

    summary: Tensor  # b d
    patches: Tensor  # b t h w d
    prompts: dict[str, Tensor]  # task -> b n d
    levels: tuple[Tensor, ...] = ()  # each b t h w d, from early to late, with its own sizes

    def select(self, rows: Tensor) -> "Features":
        """The same features of some samples. rows: m -> every tensor m ..."""
        prompts = {n: p.index_select(0, rows) for n, p in self.prompts.items()}
        levels = tuple(x.index_select(0, rows) for x in self.levels)
        return Features(self.summary.index_select(0, rows), self.patches.index_select(0, rows), prompts, levels)


@dataclass(frozen=True, slots=True)
class Dims:
    """What a head, a target or a prompter may need to know of sizes."""

    frames: int
    height: int
    width: int
    grid: tuple[int, int, int]  # t h w of the patches
    dim: int  # d of summary, patches and prompts as heads see them
    levels: tuple[tuple[int, int, int, int], ...] = ()  # t h w d of each level
    widths: tuple[int, ...] = ()  # d of the tokens where they enter each block; (): dim, and at the first block alone
    prompts: dict[str, int] = field(default_factory=dict[str, int])  # task -> how many prompts it owns
    accepts_prompts: bool = True  # whether the encoder accepts prompt tokens
