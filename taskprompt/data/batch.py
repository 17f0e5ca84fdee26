"""Sample -> flat row of arrays (what Ray and Arrow carry) -> Batch."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskprompt.core.task import Task
from taskprompt.core.types import Batch, Columns, Dims, Form, Sample


def has(task: str) -> str:
    """The column that says whether a row carries a task's label; no array of a layout can have this name."""
    return f"has {task}"


def input_column(task: str, array: str) -> str:
    """The column of one array that a task's head reads; no array of a layout can have this name."""
    return f"input {task} {array}"


def views_column(task: str) -> str:
    """The column of the frames of a task's views, v t h w c; no array of a layout can have this name."""
    return f"views {task}"


def prepare(sample: Sample, tasks: Mapping[str, Task], dims: Dims) -> Columns:
    """One flat row of fixed-shape arrays.

    A sample without a task's label, or without the inputs of its head, has zeros in their place and False in the
    task's `has` column, so that all rows have one schema."""
    sample = read_only(sample)
    row: Columns = {"key": np.asarray(sample.key), "video": sample.clip.video}
    for name, task in tasks.items():
        target = task.checked_target(name, sample, dims)
        inputs = task.checked_inputs(name, sample, dims)
        row |= _columns(name, target, inputs) or _blank(name, task, dims)
    return row


def prepare_views(name: str, task: Task, shown: Sequence[tuple[Any, Sample]], views: int, dims: Dims) -> Columns:
    """The columns of one task for its views of a clip. shown: label and sample of each view; empty: no usable view.

    Compared with `prepare`, every array has one more leading axis: v, the views."""
    rows = []
    for label, sample in shown:
        sample = read_only(sample)
        target = task.target_of(name, label, sample, dims)
        rows.append({f"{name}/{k}": v for k, v in target.items()} | {views_column(name): sample.clip.video})
    if not rows:
        return blank_views(name, task, views, dims)
    return {k: np.stack([row[k] for row in rows]) for k in rows[0]} | {has(name): np.asarray(True)}


def blank_views(name: str, task: Task, views: int, dims: Dims) -> Columns:
    """The columns of a task without usable views of a clip: zeros, and False for `has`."""
    row = {f"{name}/{k}": v for k, v in task.blank(dims).items()} | {views_column(name): _no_frames(dims)}
    whole = {k: np.zeros((views, *v.shape), v.dtype) for k, v in row.items()}
    return whole | {has(name): np.asarray(False)}


def read_only(sample: Sample) -> Sample:
    """The same sample with read-only arrays: several tasks read one sample, so none of them may change it."""
    clip = replace(sample.clip, video=frozen(sample.clip.video))
    return replace(sample, clip=clip, labels={n: frozen(v) for n, v in sample.labels.items()})


def _no_frames(dims: Dims) -> np.ndarray:
    return np.zeros((dims.frames, dims.height, dims.width, 3), np.uint8)


def _columns(name: str, target: Columns | None, inputs: Columns | None) -> Columns | None:
    """The columns of one task; None where its target or its inputs are missing."""
    if target is None or inputs is None:
        return None
    row = {has(name): np.asarray(True)} | {f"{name}/{k}": v for k, v in target.items()}
    return row | {input_column(name, k): v for k, v in inputs.items()}


def _blank(name: str, task: Task, dims: Dims) -> Columns:
    row = {has(name): np.asarray(False)} | {f"{name}/{k}": v for k, v in task.blank(dims).items()}
    return row | {input_column(name, k): v for k, v in task.blank_inputs(dims).items()}


def frozen(label: Any) -> Any:
    """The same array, or label that has a form, as a view that cannot be written to; anything else as it is."""
    if isinstance(label, Form):
        return replace(label, values=frozen(label.values))
    if isinstance(label, dict):
        return {key: frozen(value) for key, value in label.items()}
    if not isinstance(label, np.ndarray):
        return label
    view = label.view()
    view.flags.writeable = False
    return view


def blank(tasks: Mapping[str, Task], dims: Dims, views: Mapping[str, int] | None = None) -> Columns:
    """The row that stands where a sample could not be read; never reaches a batch. views: task -> how many."""
    views = views or {}
    row: Columns = {"key": np.asarray("")}
    if reads_clip(tasks, views):
        row["video"] = _no_frames(dims)
    for name, task in tasks.items():
        row |= blank_views(name, task, views[name], dims) if name in views else _blank(name, task, dims)
    return row


def reads_clip(tasks: Iterable[str], views: Container[str]) -> bool:
    """Is the clip itself a row of the batch? Not if all tasks have views."""
    named = list(tasks)
    return not named or any(name not in views for name in named)


def without_pixels(columns: Columns) -> Columns:
    """The same rows with zero frames, for callers that need only targets."""
    cut = {k: v[:, :0] for k, v in columns.items() if k == "video"}
    return columns | cut | {k: v[:, :, :0] for k, v in columns.items() if k.startswith(views_column(""))}


def collate(parts: Sequence[Columns], tasks: Mapping[str, Task]) -> Batch:
    """Columns of several sources, each with only the tasks that source can label -> one mixed Batch.

    First the clips of all sources, as far as a task reads them, then the views of each task; those of a clip are
    adjacent."""
    keys: list[str] = []
    videos: list[np.ndarray] = []
    starts: list[int] = []
    for part in parts:
        starts.append(len(keys))
        here = [n for n in tasks if has(n) in part]
        if "video" in part and reads_clip(here, [n for n in here if views_column(n) in part]):
            keys += map(str, part["key"])
            videos.append(part["video"])
    targets: dict[str, dict[str, Tensor]] = {}
    rows: dict[str, Tensor] = {}
    inputs: dict[str, dict[str, Tensor]] = {}
    for name, task in tasks.items():
        having = [(p, s, np.flatnonzero(p[has(name)])) for p, s in zip(parts, starts, strict=True) if has(name) in p]
        if not having:
            continue
        split = views_column(name) in having[0][0]
        if split:
            first, shown = len(keys), [(p["key"][at], p[views_column(name)][at]) for p, _, at in having]
            keys += [str(key) for names, pixels in shown for key in np.repeat(names, pixels.shape[1])]
            videos += [_by_view(pixels) for _, pixels in shown]
            rows[name] = torch.arange(first, len(keys))
        else:
            rows[name] = torch.from_numpy(np.concatenate([at + s for _, s, at in having]).astype(np.int64))
        found = {k: [p[f"{name}/{k}"][at] for p, _, at in having] for k in task.layout}
        targets[name] = {k: _join([*map(_by_view, arrays)] if split else arrays) for k, arrays in found.items()}
        if task.inputs:
            inputs[name] = {k: _join([p[input_column(name, k)][at] for p, _, at in having]) for k in task.inputs}
    if not keys:  # no clip has a usable view: the model still runs, on black frames for no task
        shape = next(v.shape[2:] for k, v in parts[0].items() if k.startswith(views_column("")))
        keys, videos = [""], [np.zeros((1, *shape), np.uint8)]
    return Batch(keys, _join(videos), targets, rows, inputs)


def _by_view(array: np.ndarray) -> np.ndarray:
    """m v ... -> (m v) ..."""
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _join(arrays: list[np.ndarray]) -> Tensor:
    """m ... each -> m ...: one copy, into memory that torch owns."""
    total = sum(len(a) for a in arrays)
    out = torch.from_numpy(np.empty((total, *arrays[0].shape[1:]), arrays[0].dtype))
    np.concatenate(arrays, out=out.numpy())
    return out
