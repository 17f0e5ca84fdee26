"""Cropping, scaling and flipping of spatial labels, together with the pixels.

Coordinates start at the outer corner of the first pixel, so pixel i reaches from i to i + 1, its centre is i + 0.5, and
a flip at width w maps x to w - x.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from taskprompt.core.errors import SampleError
from taskprompt.core.types import Boxes, Camera, Form, Joints, Map, Points, Sample, Vectors
from taskprompt.video.conventions import broken

SLIVER = 0.1  # a box with less than this share of its area inside counts as not visible
AXES = {Map: "t h w", Vectors: "t h w 3", Boxes: "t o 4", Points: "t j 2", Joints: "t j 3", Camera: "t 3 3"}


@dataclass(frozen=True, slots=True)
class View:
    """A window of the old frame, in its pixels, which becomes the whole new frame."""

    left: int
    top: int
    width: int
    height: int
    out_width: int
    out_height: int
    flip: bool = False

    def matrix(self) -> np.ndarray:
        """3 3: old pixels to new ones, homogeneous."""
        across, down = self.out_width / self.width, self.out_height / self.height
        moved = np.array([[across, 0, -self.left * across], [0, down, -self.top * down], [0, 0, 1.0]])
        return np.array([[-1.0, 0, self.out_width], [0, 1, 0], [0, 0, 1]]) @ moved if self.flip else moved

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """h, w: the old row and column whose centre is nearest to that of each new one."""
        rows = self.top + ((np.arange(self.out_height) + 0.5) * self.height / self.out_height).astype(np.intp)
        columns = self.left + ((np.arange(self.out_width) + 0.5) * self.width / self.out_width).astype(np.intp)
        return rows, columns[::-1] if self.flip else columns


def move(label: Any, view: View) -> Any:
    """The label after the view's transform; a label without spatial type is unchanged.

    Maps and vectors use the nearest value, without interpolation between classes or depths. The values of depths,
    joints and vectors do not change with crops and scaling: they are in metres and camera axes; only the camera's
    matrix changes."""
    match label:
        case Map(values):
            return Map(_gather(values, view))
        case Vectors(values):
            return Vectors(_negate_x(_gather(values, view), view))
        case Boxes(values):
            return Boxes(_boxes(values, view))
        case Points(values, swap):
            return Points(_points(_swapped(values, swap, view), view), swap)
        case Joints(values, swap):
            return Joints(_negate_x(_swapped(values, swap, view), view), swap)
        case Camera(values):
            mirror = np.diag([-1.0 if view.flip else 1.0, 1, 1])  # the sign of the joints' x changed, too
            return Camera((view.matrix() @ values @ mirror).astype(values.dtype))
        case _:
            return label


def move_labels(labels: dict[str, Any], view: View) -> dict[str, Any]:
    """Every label after the view's transform."""
    return {name: move(label, view) for name, label in labels.items()}


def check_labels(sample: Sample) -> None:
    """Raise SampleError for a label whose shape does not match the frames, or that violates its type's conventions."""
    frames, height, width = sample.clip.video.shape[:3]
    for name, label in sample.labels.items():
        if not isinstance(label, Form):
            continue
        if problem := misshapen(label, frames, height, width) or broken(label, height, width):
            raise SampleError(f"{sample.key}: label {name!r} {problem}")


def misshapen(label: Form, frames: int, height: int, width: int) -> str:
    """How a label's shape does not match the frames; empty if it does."""
    axes = AXES[type(label)].split()
    sizes = {"t": frames, "h": height, "w": width}
    shape = np.shape(label.values)
    expected = [sizes.get(axis, int(axis) if axis.isdigit() else None) for axis in axes]
    if getattr(label.values, "dtype", np.dtype(object)).kind not in "buif":
        return f"holds {getattr(label.values, 'dtype', type(label.values).__name__)}, expected an array of numbers."
    if len(shape) == len(axes) and all(e in (None, s) for s, e in zip(shape, expected, strict=True)):
        return ""
    wanted = " x ".join(axis if size is None else str(size) for axis, size in zip(axes, expected, strict=True))
    return (
        f"is {' x '.join(map(str, shape)) or 'a number'}, expected {wanted} "
        f"({' '.join(axes)}) for {frames} frames of {height} x {width}. Correct the label file or remove it."
    )


def _gather(values: np.ndarray, view: View) -> np.ndarray:
    rows, columns = view.nearest()
    flat = values.reshape(len(values), -1, *values.shape[3:])  # one index over h * w is twice as fast as two
    taken = np.take(flat, (rows[:, None] * values.shape[2] + columns).ravel(), axis=1)
    return taken.reshape(len(values), view.out_height, view.out_width, *values.shape[3:])


def _negate_x(values: np.ndarray, view: View) -> np.ndarray:
    return values * np.array([-1, 1, 1], values.dtype) if view.flip else values


def _swapped(values: np.ndarray, swap: tuple[tuple[int, int], ...], view: View) -> np.ndarray:
    if not view.flip or not swap:
        return values
    order = np.arange(values.shape[1])
    for a, b in swap:
        order[a], order[b] = b, a
    return values[:, order]


def _points(values: np.ndarray, view: View) -> np.ndarray:
    matrix = view.matrix()
    moved = values * matrix[[0, 1], [0, 1]] + matrix[:2, 2]
    inside = ((moved >= 0) & (moved < [view.out_width, view.out_height])).all(-1, keepdims=True)
    return np.where(inside, moved, np.nan).astype(values.dtype)


def _boxes(values: np.ndarray, view: View) -> np.ndarray:
    matrix = view.matrix()
    corners = values.reshape(*values.shape[:-1], 2, 2) * matrix[[0, 1], [0, 1]] + matrix[:2, 2]
    moved = np.concatenate([corners.min(-2), corners.max(-2)], -1)  # a flip exchanges left and right
    limit = np.array([view.out_width, view.out_height] * 2, float)
    seen = np.clip(moved, 0, limit)
    enough = (_sides(seen) >= 1).all(-1) & (_sides(seen).prod(-1) >= SLIVER * _sides(moved).prod(-1))
    return np.where(enough[..., None], seen, np.nan).astype(values.dtype)


def _sides(boxes: np.ndarray) -> np.ndarray:
    return boxes[..., 2:] - boxes[..., :2]
