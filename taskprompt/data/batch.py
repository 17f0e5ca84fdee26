"""Sample -> flat row of arrays (what Ray and Arrow carry) -> Batch."""

from collections.abc import Mapping, Sequence
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


def prepare(sample: Sample, tasks: Mapping[str, Task], dims: Dims) -> Columns:
    """One flat row of fixed-shape arrays.

    A sample without a task's label, or without the inputs of its head, has zeros in their place and False in the
    task's `has` column, so that all rows have one schema."""
    # Several tasks read one sample: what one of them changed would be wrong for the others.
    clip = replace(sample.clip, video=frozen(sample.clip.video))
    sample = replace(sample, clip=clip, labels={n: frozen(v) for n, v in sample.labels.items()})
    row: Columns = {"key": np.asarray(sample.key), "video": sample.clip.video}
    for name, task in tasks.items():
        target = task.checked_target(name, sample, dims)
        inputs = task.checked_inputs(name, sample, dims)
        row |= _columns(name, target, inputs) or _blank(name, task, dims)
    return row


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


def blank(tasks: Mapping[str, Task], dims: Dims) -> Columns:
    """The row that stands where a sample could not be read; never reaches a batch."""
    empty = np.zeros((dims.frames, dims.height, dims.width, 3), np.uint8)
    row: Columns = {"key": np.asarray(""), "video": empty}
    for name, task in tasks.items():
        row |= _blank(name, task, dims)
    return row


def collate(parts: Sequence[Columns], tasks: Mapping[str, Task]) -> Batch:
    """Columns of several sources, each with only the tasks that source can label -> one mixed Batch."""
    sizes = [len(p["key"]) for p in parts]
    starts = np.cumsum([0, *sizes])
    keys = [str(k) for p in parts for k in p["key"]]
    targets: dict[str, dict[str, Tensor]] = {}
    rows: dict[str, Tensor] = {}
    inputs: dict[str, dict[str, Tensor]] = {}
    for name, task in tasks.items():
        having = [(p, s, np.flatnonzero(p[has(name)])) for p, s in zip(parts, starts, strict=False) if has(name) in p]
        if not having:
            continue
        rows[name] = torch.from_numpy(np.concatenate([at + start for _, start, at in having]).astype(np.int64))
        targets[name] = {k: _join([p[f"{name}/{k}"][at] for p, _, at in having]) for k in task.layout}
        if task.inputs:
            inputs[name] = {k: _join([p[input_column(name, k)][at] for p, _, at in having]) for k in task.inputs}
    return Batch(keys, _join([p["video"] for p in parts]), targets, rows, inputs)


def _join(arrays: list[np.ndarray]) -> Tensor:
    """m ... each -> m ...: one copy, into memory that torch owns."""
    total = sum(len(a) for a in arrays)
    out = torch.from_numpy(np.empty((total, *arrays[0].shape[1:]), arrays[0].dtype))
    np.concatenate(arrays, out=out.numpy())
    return out
