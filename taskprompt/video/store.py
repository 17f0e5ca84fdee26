"""Samples on disk, as written by `taskprompt render` and read by the `folder` source.

A sample called `name` in a folder has three files, and `name` may contain slashes:

    name.mov           the frames, exact RGB
    name.labels.npz    arrays: every label that has a form, and plain arrays; absent where there are none
    name.labels.json   the rest: key, times, flip_sensitive, plain labels, and the form of each array

The video is written last, so a sample with a video is complete. Nothing is pickled.
"""

import io
import json
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from taskprompt.core.errors import SampleError
from taskprompt.core.files import write, writing
from taskprompt.core.types import FORMS, Clip, Form, Joints, Points, Sample
from taskprompt.video.array_files import open_array, present, read_json
from taskprompt.video.decode import read_times
from taskprompt.video.encode import lossless

FORMAT = "taskprompt.sample/1"


class Array(BaseModel):
    """Metadata of an array of the npz."""

    form: Literal["array", "map", "vectors", "boxes", "points", "joints", "camera"]
    framed: bool  # whether it has one row per frame
    swap: tuple[tuple[int, int], ...] = ()  # of points and joints


class Meta(BaseModel):
    """The json of a stored sample."""

    format: Literal["taskprompt.sample/1"]
    key: str
    flip_sensitive: bool
    rate: str = Field(pattern=r"^[1-9]\d{0,11}(/[1-9]\d{0,11})?$")  # frames per second, a fraction
    times: list[FiniteFloat] = Field(min_length=1)  # seconds
    arrays: dict[str, Array]
    labels: dict[str, Any]


def write_sample(folder: str | Path, name: str, sample: Sample) -> None:
    """Store a sample; one of the same name is replaced.

    Raises SampleError for a label that cannot be stored, WriteError if the folder cannot be written."""
    path = Path(folder) / name
    arrays, forms, plain = _sort_labels(sample)
    times = np.asarray(sample.clip.times, np.float64)
    meta = {
        "format": FORMAT,
        "key": sample.key,
        "flip_sensitive": sample.flip_sensitive,
        "rate": str(_rate(times)),
        "times": times.tolist(),
        "arrays": forms,
        "labels": plain,
    }
    text = json.dumps(meta, default=_to_json, ensure_ascii=False, indent=1)
    with writing(path, "or choose another folder."):
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".mov", ".labels.npz"):
            _beside(path, suffix).unlink(missing_ok=True)
        if arrays:
            write(_beside(path, ".labels.npz"), _pack(arrays))
        write(_beside(path, ".labels.json"), text)
        write(_beside(path, ".mov"), lossless(sample.clip.video, _rate(times)))


def read_sample(folder: str | Path, name: str, labels: tuple[str, ...] | None = None) -> Sample:
    """A stored sample, equal to the one that was written; with `labels`, only those of them that it has.

    Raises SampleError if it is missing or damaged."""
    path = Path(folder) / name
    meta = read_meta(path)
    at = np.arange(len(meta.times))
    video = read_frames(path, meta, at)
    clip = Clip(video, np.asarray(meta.times, np.float64))
    return Sample(meta.key, clip, read_labels(path, meta, at, labels), meta.flip_sensitive)


def is_stored(file: Path) -> bool:
    """Whether this video belongs to a stored sample."""
    return file.suffix == ".mov" and _beside(file.with_suffix(""), ".labels.json").is_file()


def read_meta(path: Path) -> Meta:
    """The content of `name.labels.json`; path: folder / name. Raises SampleError if it is missing or damaged."""
    file = _beside(path, ".labels.json")
    if not present(file):
        raise SampleError(f"{file}: there is no such stored sample. Render it again.")
    meta = read_json(file)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise SampleError(f"{file}: is not a stored sample; expected the format {FORMAT!r}. Render it again.")
    try:
        found = Meta.model_validate(meta)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SampleError(f"{file}: is damaged: {where}: {first['msg']}. Render it again.") from None
    if (np.diff(found.times) < 0).any():
        raise SampleError(f"{file}: is damaged: times do not ascend. Render it again.")
    return found


def read_frames(path: Path, meta: Meta, at: np.ndarray, short_side: int | None = None) -> np.ndarray:
    """k indices of frames, ascending -> k h w 3 uint8; path: folder / name."""
    rate = Fraction(meta.rate)
    wanted = [float(i / rate) for i in at.tolist()]
    clip = read_times(_beside(path, ".mov"), wanted, short_side=short_side)
    if np.abs(clip.times - wanted).max(initial=0) > 0.5 / rate:
        raise SampleError(f"{path}.mov: holds fewer frames than its json names. Render it again.")
    return clip.video


def read_labels(path: Path, meta: Meta, at: np.ndarray, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The labels of some frames: k indices -> arrays k ... of labels with one row per frame; others unchanged."""
    labels = {n: v for n, v in meta.labels.items() if (names is None or n in names) and v is not None}
    file = _beside(path, ".labels.npz")
    for name, form in meta.arrays.items():
        if names is None or name in names:
            labels[name] = _read_label(file, name, form, at, len(meta.times))
    return {n: labels[n] for n in (*meta.labels, *meta.arrays) if n in labels}


def _read_label(file: Path, name: str, form: Array, at: np.ndarray, frames: int) -> Any:
    with open_array(file, name) as found:
        if not form.framed:
            values = found.whole()
        elif found.shape[:1] != (frames,):
            raise SampleError(f"{file}: {name!r} has no row for each of {frames} frames. Render it again.")
        else:
            values = found.rows(at)
    if form.form == "array":
        return values
    swap = {"swap": form.swap} if form.swap and form.form in ("points", "joints") else {}
    return FORMS[form.form](values, **swap)


def _sort_labels(sample: Sample) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """labels -> arrays, metadata of each array, and the labels that are not arrays."""
    arrays, forms, plain = {}, {}, {}
    for name, label in sample.labels.items():
        values = label.values if isinstance(label, Form) else label
        if not isinstance(values, np.ndarray):
            plain[name] = label
            continue
        if values.dtype.hasobject:
            raise SampleError(f"{sample.key}: label {name!r} is an array of Python objects; expected numbers or text.")
        arrays[name] = values
        forms[name] = {
            "form": type(label).__name__.lower() if isinstance(label, Form) else "array",
            "framed": values.ndim > 0 and len(values) == len(sample.clip.times),
        }
        if isinstance(label, Points | Joints) and label.swap:
            forms[name]["swap"] = [list(map(int, pair)) for pair in label.swap]
    return arrays, forms, plain


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    """An npz with the fastest compression: half the size, and still read at hundreds of MB per second."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(values), allow_pickle=False)
    return buffer.getvalue()


def _rate(times: np.ndarray) -> Fraction:
    """Frame rate of the stored file, only for players: the true times are in the json."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    rate = Fraction(float(1 / np.median(steps))).limit_denominator(1000) if len(steps) else Fraction(1)
    return max(rate, Fraction(1, 1000))


def _beside(path: Path, suffix: str) -> Path:
    """path with the suffix appended; names may contain dots, so no existing suffix is replaced."""
    return path.with_name(path.name + suffix)


def _to_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise SampleError(f"a label holds a {type(value).__name__}; a plain label is text, numbers, lists or an array.")
