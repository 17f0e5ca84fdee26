"""Label files beside a clip: PNG, npz, npy and json -> labels of the frames that were decoded."""

import json
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import field_validator, model_validator

from taskprompt.core.errors import SampleError, SpecError
from taskprompt.core.spec import Spec
from taskprompt.core.types import FORMS, Clip, Map, Vectors
from taskprompt.video.container import frame_times
from taskprompt.video.geometry import View, move

SUFFIXES = (".png", ".npz", ".npy", ".json")


class LabelFile(Spec):
    """Where a label lies and what it is. Row i of a file belongs to frame i of the video, unless `times` says more.

    A clip without the file has no such label. Lists of boxes may differ in length from frame to frame; null in a
    json stands for unknown."""

    form: Literal["map", "vectors", "boxes", "points", "joints", "camera", "value"]  # see taskprompt.core.types
    file: str  # from the clip's folder, such as "{stem}.depth.npz" or "../depth/{stem}/{frame:05d}.png"
    key: str | None = None  # which array of an npz, which entry of a json; null: the only one, the whole
    times: str | None = None  # entry of the same file with each row's seconds; the nearest row is taken
    first: int = 0  # {frame} of the first frame
    scale: float | None = None  # maps: metres a step, such as 0.001; null: values as they are, whole ones are classes
    invalid: float | None = None  # stored value that means unknown
    resize: bool = False  # maps and vectors of another size than the frames are scaled to them; else such clips are bad
    framed: bool = False  # value: the file holds one entry a frame
    swap: tuple[tuple[int, int], ...] = ()  # points and joints: pairs that a mirror exchanges

    @field_validator("file")
    @classmethod
    def _is_pattern(cls, value):
        try:
            name = value.format(stem="clip", frame=0)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise SpecError(f"found {value!r}; only {{stem}} and {{frame}}, or {{frame:05d}}, are filled in.") from None
        if not name.endswith(SUFFIXES):
            raise SpecError(f"found {value!r}; expected a file that ends in {', '.join(SUFFIXES)}.")
        return value

    @model_validator(mode="after")
    def _fits(self):
        if self.file.endswith(".png") and self.form != "map":
            raise SpecError(f"form {self.form!r} cannot be read from a png; use npz, npy or json.")
        for field, forms in (
            ("swap", ("points", "joints")),
            ("scale", ("map",)),
            ("resize", ("map", "vectors")),
            ("framed", ("value",)),
        ):
            if getattr(self, field) and self.form not in forms:
                raise SpecError(f"`{field}` has no meaning for the form {self.form!r}, only for {', '.join(forms)}.")
        if self.times and "{frame" in self.file:
            raise SpecError("`times` has no meaning for a file a frame.")
        return self


def read_label(spec: LabelFile, video: Path, clip: Clip) -> Any | None:
    """The label of a clip's frames, or None where the file is absent. Raises SampleError for one that does not fit."""
    name = str(video.parent / spec.file)
    if "{frame" in spec.file:
        values = _frame_files(spec, name, video, clip)
    else:
        file = Path(name.format(stem=video.stem))
        values = _one_file(spec, file, video, clip) if file.is_file() else None
    if values is None or spec.form == "value":
        return values
    values = _typed(spec, values)
    label = FORMS[spec.form](values, spec.swap) if spec.swap else FORMS[spec.form](values)
    return _sized(spec, label, video, clip) if spec.form in ("map", "vectors") else label


def _frame_files(spec: LabelFile, name: str, video: Path, clip: Clip) -> np.ndarray | None:
    files = [Path(name.format(stem=video.stem, frame=i + spec.first)) for i in _indices(video, clip).tolist()]
    missing = [file for file in files if not file.is_file()]
    if len(missing) == len(files):
        return None
    if missing:
        raise SampleError(f"{missing[0]}: is missing, though other frames of {video.name} have theirs.")
    loaded = {file: np.asarray(_load(file, spec.key)) for file in set(files)}
    return _stack(files[0], [loaded[file] for file in files])


def _one_file(spec: LabelFile, file: Path, video: Path, clip: Clip) -> Any:
    values = _load(file, spec.key)
    if spec.form == "value" and not spec.framed:
        return values
    if spec.form == "boxes" and isinstance(values, list):
        values = _padded(file, values)
    elif isinstance(values, list) and spec.form != "value":
        values = _array(file, values)
    if file.suffix == ".png" or (spec.form == "camera" and np.ndim(values) == 2):
        return np.repeat(np.asarray(values)[None], len(clip.times), 0)  # one for all frames
    if spec.times:
        seconds = _array(file, _load(file, spec.times))
        at = np.abs(seconds[None, :] - clip.times[:, None]).argmin(1)
    else:
        at = _indices(video, clip)
    if len(values) <= at.max():
        raise SampleError(f"{file}: holds {len(values)} frames, expected at least {at.max() + 1} as in {video.name}.")
    return [values[i] for i in at] if isinstance(values, list) else values[at]


def _indices(video: Path, clip: Clip) -> np.ndarray:
    """t: which frame of the file each frame of the clip is."""
    every = _times(str(video), video.stat().st_mtime_ns)
    return np.abs(every[None, :] - clip.times[:, None]).argmin(1)


@lru_cache(maxsize=1024)
def _times(video: str, changed: int) -> np.ndarray:
    return frame_times(video)


def _load(file: Path, key: str | None) -> Any:
    try:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                return np.asarray(picture)
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False)
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as archive:
                return archive[_only(file, key, archive.files)]
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
        if isinstance(error, SampleError):
            raise
        raise SampleError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    return data if key is None else data[_only(file, key, data if isinstance(data, dict) else ())]


def _only(file: Path, key: str | None, found) -> str:
    if key is None and len(found) == 1:
        return next(iter(found))
    if key not in found:
        raise SampleError(f"{file}: holds {', '.join(found) or 'no entries'}; expected {key or 'one, or set `key`'}.")
    return key  # type: ignore[return-value]


def _padded(file: Path, frames: list) -> np.ndarray:
    """Lists of boxes a frame -> t o 4, filled up with NaN."""
    most = max((len(boxes or ()) for boxes in frames), default=0)
    return _array(
        file,
        [[*(box or [None] * 4 for box in boxes or ())] + [[None] * 4] * (most - len(boxes or ())) for boxes in frames],
    )


def _array(file: Path, values: Any) -> np.ndarray:
    try:
        return np.array(values, np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        raise SampleError(f"{file}: expected numbers in a regular array, one entry a frame.") from None


def _stack(file: Path, arrays: list[np.ndarray]) -> np.ndarray:
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise SampleError(f"{file}: frames differ in shape: {', '.join(map(str, sorted(shapes)))}.")
    return np.stack(arrays)


def _typed(spec: LabelFile, values: np.ndarray) -> np.ndarray:
    unknown = None if spec.invalid is None else values == spec.invalid
    if spec.form == "map" and spec.scale is None and values.dtype.kind in "bui":
        values = np.where(unknown, 255, values) if unknown is not None else values
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 255:
            raise SampleError(
                f"{spec.file}: classes go up to {values.max()}, expected 0 to 255; set `scale` for depth."
            )
        return values.astype(np.uint8)
    values = values.astype(np.float64 if spec.form == "camera" else np.float32)
    values = values if spec.scale is None else values * np.float32(spec.scale)
    if unknown is not None:
        values[unknown] = np.nan
    return values


def _sized(spec: LabelFile, label: Map | Vectors, video: Path, clip: Clip) -> Map | Vectors:
    height, width = clip.video.shape[1:3]
    found = label.values.shape[1:3]
    if found == (height, width) or label.values.ndim < 3:
        return label
    if not spec.resize:
        raise SampleError(
            f"{video}: label file {spec.file!r} is {found[0]} x {found[1]}, expected {height} x {width} as the frames. "
            "Mend it, or set `resize: true` if it shows the same picture."
        )
    return move(label, View(0, 0, found[1], found[0], width, height))
