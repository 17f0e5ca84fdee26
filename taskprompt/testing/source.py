"""check_source: the requirements of sources."""

import json
import pickle
from typing import Any

import numpy as np

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SampleError
from taskprompt.core.moment import Middle, Moment, Part, Random
from taskprompt.core.source import Source
from taskprompt.core.types import Form, Sample
from taskprompt.video.geometry import check_labels


def check_source(source: Source, clip: ClipSpec | None = None, samples: int = 3) -> None:
    """List all rows of a source and load the first few; raises AssertionError with the violated requirement."""
    clip = clip or ClipSpec(frames=4, height=32, width=32, fps=4)
    name = type(source).__name__
    assert type(source).model_validate(json.loads(source.model_dump_json())) == source, f"{name}: lost in JSON"
    pickle.dumps(source)  # raises if it cannot be sent to a worker
    offered = source.own_labels()
    assert len(set(offered)) == len(offered), f"{name}.own_labels: duplicate name in {offered}"
    assert set(source.kept_labels()) <= set(offered), f"{name}: `only` names labels that are not offered"
    rows = list(source.rows())
    assert rows, f"{name}.rows: there is none"
    assert _same(rows, list(source.rows())), f"{name}.rows: two listings differ"
    keys = [row.get("key") for row in rows]
    assert all(isinstance(k, str) and k for k in keys), f"{name}.rows: each row needs a `key` of text"
    assert len(set(keys)) == len(keys), f"{name}.rows: duplicate key, such as {max(keys, key=keys.count)!r}"
    for row in rows:
        flat = all(isinstance(v, str | int | float | bool | np.generic | None) for v in row.values())
        assert flat, f"{name}.rows: {row['key']!r} holds more than text and numbers"
        assert set(row) == set(rows[0]), f"{name}.rows: {row['key']!r} has other fields than {keys[0]!r}"
    for row in rows[:samples]:
        _check_loading(source, row, clip, name)


def _check_loading(source: Source, row: dict[str, Any], clip: ClipSpec, name: str) -> None:
    where, before = f"{name}.load({row['key']!r})", dict(row)
    found = {}
    for which, moment in _moments().items():
        first, again = source.load(row, clip, moment), source.load(row, clip, _moments()[which])
        assert _same(first, again), f"{where}: {which} gave two different samples"
        _check_sample(source, first, row, clip, where)
        found[which] = first
    assert _same(row, before), f"{where}: the row was changed"
    assert _same(found["Middle()"], found["Part(0, 1)"]), f"{where}: Part(0, 1) is not the middle of the video"
    starts = [found[f"Part({i}, 3)"].clip.times[0] for i in range(3)]
    assert (np.diff(starts) >= 0).all(), f"{where}: the three parts of the video begin at {starts}, out of order"


def _moments() -> dict[str, Moment]:
    """name -> moment, with new generators at each call."""
    drawn = {f"Random, seed {seed}": Random(np.random.default_rng(seed)) for seed in range(2)}
    parts = {f"Part({i}, {of})": Part(i, of) for i, of in ((0, 1), (0, 3), (1, 3), (2, 3))}
    return {"Middle()": Middle(), **drawn, **parts}


def _check_sample(source: Source, sample: Sample, row: dict[str, Any], clip: ClipSpec, where: str) -> None:
    video, times = sample.clip.video, sample.clip.times
    assert sample.key == row["key"], f"{where}: the sample's key is {sample.key!r}"
    assert isinstance(video, np.ndarray), f"{where}: the video is a {type(video).__name__}, expected an array"
    assert video.dtype == np.uint8, f"{where}: the video is {video.dtype}, expected uint8"
    assert video.ndim == 4, f"{where}: the video is {video.shape}, expected t h w 3"
    assert video.shape[-1] == 3, f"{where}: the video is {video.shape}, expected t h w 3"
    assert len(video) == clip.frames, f"{where}: {len(video)} frames, expected {clip.frames}"
    assert times.shape == (clip.frames,), f"{where}: times are {times.shape}, expected {(clip.frames,)}"
    assert (np.diff(times) >= 0).all(), f"{where}: times do not ascend: {times}"
    extra = sorted(set(sample.labels) - set(source.kept_labels()))
    assert not extra, f"{where}: gives {extra}, which `kept_labels` does not name"
    assert not any(v is None for v in sample.labels.values()), f"{where}: a label is None; omit its key"
    try:
        check_labels(sample)
    except SampleError as error:
        raise AssertionError(f"{where}: {error.text}") from None


def _same(a: Any, b: Any) -> bool:
    """Equal in type, shape and value, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Form | Sample) or hasattr(a, "__dataclass_fields__"):
        return all(_same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    return a == b or (isinstance(a, float) and a != a and b != b)
