"""From light to bytes: two looks of the same scene, with the same geometry."""

from typing import Literal

import numpy as np

Look = Literal["clean", "worn"]


def develop(light: np.ndarray, look: Look, style: np.random.Generator, grain: np.random.Generator) -> np.ndarray:
    """h w 3 linear -> h w 3 uint8. `style`: generator for parameters per clip; `grain`: per frame."""
    if look == "clean":
        picture, noise = np.sqrt(np.clip(light, 0, 1)), 1.5
    else:
        picture, noise = _wear(light, style), float(style.uniform(4, 9))
    picture = picture * 255
    picture += noise * grain.standard_normal(picture.shape, np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _wear(light: np.ndarray, style: np.random.Generator) -> np.ndarray:
    """The look of a cheap camera in a dim room: underexposed, pale, with a colour cast, vignetting and blur."""
    level, pale = style.uniform(0.12, 0.24), style.uniform(0.5, 0.8)
    cast = style.uniform(0.85, 1.1, 3).astype(np.float32)
    dark = style.uniform(0.3, 0.6)
    grey = light.mean(2, keepdims=True)
    picture = (light + (grey - light) * np.float32(pale)) * cast
    picture = np.sqrt(np.clip(picture * np.float32(level / max(float(light.mean()), 0.02)), 0, 1))
    size = len(picture)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    corner = (axis[:, None] ** 2 + axis[None] ** 2) / 2
    picture = _blur(picture, max(1, size // 80)) * (1 - np.float32(dark) * corner)[..., None]
    return 0.07 + 0.85 * picture


def _blur(picture: np.ndarray, radius: int) -> np.ndarray:
    """h w c: the mean over 2 radius + 1 pixels along both axes, edges repeated."""
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (radius, radius)
        wide = np.pad(picture, pad, mode="edge")
        n = picture.shape[axis]
        near = [wide.take(range(k, k + n), axis) for k in range(2 * radius + 1)]
        picture = np.add.reduce(near) / np.float32(len(near))
    return picture
