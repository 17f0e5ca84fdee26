"""Matching a checkpoint's tensors with an encoder's, and resizing those of another shape."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from taskprompt.core.errors import SpecError
from taskprompt.core.layout import Layout, Shape, Tensors
from taskprompt.core.model import Backbone, Encoder
from taskprompt.recipe.weights import Inflate

Shapes = dict[str, tuple[Shape, Shape]]  # our name -> found, wanted
HEAD = "head."  # prefix of a classifier's names after renaming by a layout


@dataclass(slots=True)
class Match:
    """The match of a file with an encoder; `wrong`: tensors of another shape that cannot be resized."""

    layout: Layout
    tensors: Tensors = field(default_factory=dict)  # by the encoder's names
    head: Tensors = field(default_factory=dict)  # the classifier's, by names without `head.`
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)  # by the file's names
    resized: Shapes = field(default_factory=dict)
    inflated: Shapes = field(default_factory=dict)
    wrong: Shapes = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)  # of `missing`: not allowed by the layout
    extra: list[str] = field(default_factory=list)  # of `unexpected`: tensors in the encoder's blocks
    settings: dict[str, object] = field(default_factory=dict)  # fields of the backbone that differ in the file
    share: float = 0.0  # share of the encoder's values that the file has


def match(
    found: Tensors,
    encoder: Encoder,
    backbone: Backbone,
    *,
    task: str | None = None,
    inflate: Inflate = "centre",
    resize: bool = True,
    anew: Iterable[str] = (),
    config: str = "",
) -> Match | None:
    """Match a file's tensors with the encoder's; None if no layout recognises them. Raises errors of `change`.

    task: the task whose head to load, from a taskprompt model. resize: resize position embeddings to the encoder's.
    anew: tensors that a file with our names may lack. config: the training configuration in the file."""
    own, tables = encoder.state_dict(), encoder.position_embeddings()
    told = recognise(found, own, backbone, task)
    if told is None:
        return None
    layout, prefix = told
    done, ours, origin = Match(layout), Tensors(), {}
    in_block = _blocks(own)
    for name in sorted(found, key=lambda n: not n.startswith(prefix)):  # if two map to one name, the encoder's is used
        new = layout.ours(name.removeprefix(prefix))
        if new.startswith(HEAD) and new not in own:
            done.head[new.removeprefix(HEAD)] = found[name]
        elif new in ours or (in_block(new) and not name.startswith(prefix)):  # such as the text tower's blocks
            done.unexpected.append(name)
        else:
            ours[new], origin[new] = found[name], name
    ours = _changed(layout, ours, own)
    left = [name for name in ours if name not in own]
    done.unexpected += [origin.get(name, name) for name in left]
    done.extra = [origin.get(n, n) for n in left if in_block(n) and not _matches(layout.dropped, n)]
    for name, wanted in own.items():
        if name not in ours:
            done.missing.append(name)
            continue
        tensor, shapes = ours[name], (tuple(ours[name].shape), tuple(wanted.shape))
        if _core(tensor) == _core(wanted):  # CLS is 1 1 d elsewhere
            tensor = tensor.reshape(wanted.shape)
        elif name in tables and tensor.numel() and _same_behind(tensor, wanted, len(tables[name].split())):
            if resize:
                tensor, done.resized[name] = resized(tensor, tables[name], shapes[1]), shapes
        elif is_kernel_of_images(tensor, wanted):
            tensor, done.inflated[name] = inflated(tensor, shapes[1][2], inflate), shapes
        else:
            done.wrong[name] = shapes
            continue
        done.tensors[name] = tensor if tensor.is_complex() else tensor.to(wanted.dtype)
    missing = set(done.missing) - set(anew)
    for pattern in layout.anew:  # all that match may be missing, but not only some
        whole = {name for name in own if _matches([pattern], name)}
        missing -= whole if whole <= missing else set()
    done.lost = [name for name in done.missing if name in missing]
    settings = layout.settings(ours, config) if layout.settings else {}
    done.settings = {n: v for n, v in settings.items() if getattr(backbone, n) != v}
    sizes = {name: t.numel() for name, t in own.items()}
    done.share = sum(sizes[name] for name in done.tensors) / max(sum(sizes.values()), 1)
    return done


def _changed(layout: Layout, tensors: Tensors, own: Mapping[str, Tensor]) -> Tensors:
    """The result of the layout's `change`. Raises SpecError if the shapes do not allow it."""
    try:
        return layout.change(tensors, own) if layout.change else tensors
    except (RuntimeError, IndexError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, SpecError):
            raise
        what = str(error).split("\n")[0][:150]
        raise SpecError(f"its tensors have shapes that no model of the layout {layout.name} has ({what}).") from None


def _blocks(own: Mapping[str, Tensor]) -> Callable[[str], bool]:
    """A function: whether a name is in one of the encoder's lists of blocks, after 'blocks.' and a number."""
    lists = {m[1] for name in own if (m := re.match(r"(\D+\.)\d+\.", name))}
    return lambda name: (m := re.match(r"(\D+\.)\d+\.", name)) is not None and m[1] in lists


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.match(pattern, name) for pattern in patterns)


def recognise(
    found: Tensors, own: Mapping[str, Tensor], backbone: Backbone, task: str | None
) -> tuple[Layout, str] | None:
    """The layout of a file and its prefix: one of the backbone's, or ours, for an encoder or a whole model."""
    for layout in backbone.layouts:
        prefix = layout.prefix_in(found)
        if prefix is not None:
            return layout, prefix
    prefix = "encoder." if any(name.startswith("encoder.") for name in found) else ""
    inner = {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
    is_ours = inner <= own.keys() or inner >= own.keys()
    return (Layout("taskprompt", (), {rf"heads\.{task}\.": HEAD}), prefix) if is_ours else None


def resized(table: Tensor, axes: str, shape: Shape) -> Tensor:
    """Position embeddings resized to another grid: bicubic over h and w, linear over other leading axes.

    Cells are resized, not their corners, as SlowFast does at run time (`get_rel_pos`)."""
    names = axes.split()
    wanted = dict(zip(names, shape, strict=False))
    x = table.float().reshape(*table.shape[: len(names)], -1)
    for part in (["h", "w"], *([name] for name in names if name not in "hw")):
        sizes = dict(zip(names, x.shape, strict=False))
        if not set(part) <= set(names) or all(sizes[n] == wanted[n] for n in part):
            continue
        rest = " ".join(n for n in names if n not in part)
        whole, apart = f"{axes} c", f"({rest} c) 1 {' '.join(part)}"
        mode = "bicubic" if len(part) == 2 else "linear"
        x = rearrange(x, f"{whole} -> {apart}")
        x = F.interpolate(x, size=tuple(wanted[n] for n in part), mode=mode, align_corners=False)
        x = rearrange(x, f"{apart} -> {whole}", **{n: sizes[n] for n in rest.split()})
    return x.reshape(shape)


def is_kernel_of_images(kernel: Tensor, wanted: Tensor) -> bool:
    """Whether it is o i h w, or o i 1 h w, and o i t h w is wanted."""
    flat = kernel.squeeze(2) if kernel.ndim == 5 and kernel.shape[2] == 1 else kernel
    return wanted.ndim == 5 and flat.ndim == 4 and flat.shape == (*wanted.shape[:2], *wanted.shape[3:])


def inflated(kernel: Tensor, frames: int, how: Inflate) -> Tensor:
    """o i h w -> o i t h w. centre: only at the middle frame; mean: at every frame, divided by t.

    For identical frames, both give the same output as the 2D kernel."""
    kernel = kernel.squeeze(2) if kernel.ndim == 5 else kernel
    if how == "mean":
        return repeat(kernel / frames, "o i h w -> o i t h w", t=frames)
    whole = torch.zeros(*kernel.shape[:2], frames, *kernel.shape[2:], dtype=kernel.dtype, device=kernel.device)
    whole[:, :, frames // 2] = kernel
    return whole


def _core(tensor: Tensor) -> list[int]:
    """Its shape without axes of length 1."""
    return [n for n in tensor.shape if n != 1]


def _same_behind(tensor: Tensor, wanted: Tensor, axes: int) -> bool:
    return tensor.ndim == wanted.ndim and tensor.shape[axes:] == wanted.shape[axes:]
