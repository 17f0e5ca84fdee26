"""Contents of label files as arrays for the clip's frames: pixel maps, and lists of boxes, points and joints."""

import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from taskprompt.core.errors import SampleError
from taskprompt.sources._folder.label_file import LabelFile
from taskprompt.video.array_files import MOST, chosen, open_array, read_json, read_png
from taskprompt.video.geometry import View

WIDTHS = {"boxes": 4, "points": 2, "joints": 3}  # numbers per entry
UNKNOWN = 255  # of a map of classes

Align = Callable[[int], np.ndarray]  # number of rows of a file -> the row of each frame of the clip
Size = tuple[int, int]  # height and width of the frames


def content(file: Path, key: str | None) -> Any:
    """The content of a file under the key: an array, or json data."""
    if file.suffix == ".json":
        data = read_json(file)
        return data if key is None else data[chosen(file, key, data if isinstance(data, dict) else ())]
    if file.suffix == ".png":
        return read_png(file, lambda size: None)
    with open_array(file, key) as found:
        return found.whole()


def numbers(file: Path, values: Any) -> np.ndarray:
    """An array of numbers, null as NaN. Raises SampleError for anything else."""
    try:
        if isinstance(values, np.ndarray) and values.dtype.kind in "bui":
            return values
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise SampleError(f"{file}: expected numbers in a regular array, one entry per frame.") from None


def pixel_grid(spec: LabelFile, files: list[Path], frames: int, size: Size, align: Align) -> np.ndarray:
    """t h w or t h w 3 of a map or of vectors: only the clip's rows, at the frames' size."""

    def fitted(row: np.ndarray) -> np.ndarray:
        return _resized(row, size)

    def check(shape: tuple[int, ...]) -> None:
        _check_grid(spec, files[0], shape, size)

    def one(file: Path) -> np.ndarray:
        if file.suffix == ".png":
            return fitted(read_png(file, check))
        if file.suffix == ".json":
            row = numbers(file, content(file, spec.key))
            check(row.shape)
            return fitted(row)
        with open_array(file, spec.key) as found:
            check(found.shape)
            return fitted(found.whole())

    if spec.by_frame:
        loaded = {file: one(file) for file in set(files)}
        values = _stacked(files[0], [loaded[file] for file in files])
    elif files[0].suffix == ".png":
        values = np.repeat(one(files[0])[None], frames, 0)  # one for all frames
    elif files[0].suffix == ".json":
        rows = numbers(files[0], content(files[0], spec.key))
        check(rows.shape[1:])
        values = np.stack([fitted(rows[i]) for i in align(len(rows)).tolist()])
    else:
        with open_array(files[0], spec.key) as found:
            check(found.shape[1:])
            values = found.rows(align(found.shape[0]), fitted)
    return _typed(spec, files[0], values, size)


def frame_list(
    spec: LabelFile, files: list[Path], frames: int, size: Size, align: Align
) -> tuple[np.ndarray, np.ndarray]:
    """All rows, r ..., and t: the row of each frame of the clip."""
    width = WIDTHS.get(spec.form)
    if spec.by_frame:
        loaded = {file: content(file, spec.key) for file in set(files)}
        rows = [loaded[file] for file in files]
        values = padded(files[0], rows, width, spec.form) if width else _stacked(files[0], rows)
        return _typed(spec, files[0], values, size), np.arange(len(files))
    values = content(files[0], spec.key)
    values = padded(files[0], values, width, spec.form) if width and isinstance(values, list) else values
    values = numbers(files[0], values)
    if spec.form == "boxes" and values.shape[1:] == (0,):
        values = values.reshape(len(values), 0, 4)
    if spec.form == "camera" and values.shape == (3, 3):
        return _typed(spec, files[0], values[None], size), np.zeros(frames, np.intp)  # one for all frames
    last = width or 3
    if values.ndim != 3 or values.shape[2] != last or (not width and values.shape[1] != 3):
        found, wanted = " x ".join(map(str, values.shape)) or "one number", f"{spec.form if width else 3} x {last}"
        raise SampleError(f"{files[0]}: holds {found}, expected frames x {wanted}. Replace the file or remove it.")
    return _typed(spec, files[0], values, size), align(len(values))


def padded(file: Path, frames: Sequence[Any], width: int, what: str) -> np.ndarray:
    """A list of entries per frame, which may be empty -> t o width, padded with NaN.

    Frames may have different numbers of boxes. Points and joints are identified by index: a frame has all or none."""
    rows = [_entries(file, frame, width, what) for frame in frames]
    counts = {len(row) for row in rows}
    if what != "boxes" and len(counts - {0}) > 1:
        raise SampleError(
            f"{file}: frames have {_listed(counts)} {what}, expected the same number in each. Use null for some."
        )
    most = max(counts, default=0)
    if len(rows) * most * width * 8 > MOST:
        raise SampleError(f"{file}: {len(rows)} frames with up to {most} {what} take too much memory.")
    values = np.full((len(rows), most, width), np.nan)
    for out, row in zip(values, rows, strict=True):
        out[: len(row)] = row
    return values


def _entries(file: Path, frame: Any, width: int, what: str) -> np.ndarray:
    """The entries of one frame -> o width."""
    if frame is None or (frame.shape[:1] == (0,) if isinstance(frame, np.ndarray) else frame == []):
        return np.empty((0, width))
    values: np.ndarray = np.empty(0)
    try:
        listed = [[None] * width if e is None else e for e in frame] if isinstance(frame, list) else frame
        values = np.asarray(listed, np.float64)
    except (TypeError, ValueError, OverflowError):
        pass  # reported below
    if values.ndim != 2 or values.shape[1] != width:
        raise SampleError(
            f"{file}: a frame has {reprlib.repr(frame)}, expected a list of {what}, each {width} numbers or null."
        )
    return values


def _check_grid(spec: LabelFile, file: Path, shape: tuple[int, ...], size: Size) -> None:
    """Raise SampleError if a row is not a map of the frames' size, before it is read."""
    inner = (3,) if spec.form == "vectors" else ()
    if len(shape) != 2 + len(inner) or shape[2:] != inner or 0 in shape[:2]:
        wanted = " x ".join(["height", "width", *map(str, inner)])
        found = " x ".join(map(str, shape)) or "one number"
        raise SampleError(f"{file}: found {found} for a frame, expected {wanted}. Replace the file.")
    if shape[:2] != size and not spec.resize:
        found, wanted = (f"{height} x {width}" for height, width in (shape[:2], size))
        raise SampleError(
            f"{file}: label file {spec.file!r} is {found}, expected {wanted} as the frames. "
            "Replace it, or set `resize: true` if it covers the same field of view."
        )


def _resized(row: np.ndarray, size: Size) -> np.ndarray:
    """h w ... -> the frames' size, by nearest pixel."""
    if row.shape[:2] == size:
        return row
    rows, columns = View(0, 0, row.shape[1], row.shape[0], size[1], size[0]).nearest()
    return row[rows[:, None], columns]


def _stacked(file: Path, rows: list[Any]) -> np.ndarray:
    arrays = [numbers(file, row) for row in rows]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise SampleError(f"{file}: frames differ in shape: {', '.join(map(str, sorted(shapes)))}.")
    return np.stack(arrays)


def _typed(spec: LabelFile, file: Path, values: np.ndarray, size: Size) -> np.ndarray:
    """Values in the form's type and units: classes as uint8, else floats, NaN where unknown."""
    if values.dtype.kind not in "buif":
        raise SampleError(f"{file}: holds text, expected numbers. Replace the file.")
    if spec.form == "map" and spec.scale is None and values.dtype.kind in "bui":
        return _classes(spec, file, values)
    unknown = None if spec.invalid is None else values == spec.invalid
    if unknown is not None and spec.form != "map":
        within = (-2, -1)[-min(values.ndim, 2) :] if spec.form == "camera" else (-1,)
        unknown = np.broadcast_to(unknown.all(within, keepdims=True), values.shape)
    if spec.form == "vectors":
        if values.dtype.kind in "bui":
            return values  # not unit vectors, which is reported later
        nothing = ~values.any(-1, keepdims=True)  # a vector of length 0 is unknown
        unknown = np.broadcast_to(nothing if unknown is None else nothing | unknown, values.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float64 if spec.form in ("camera", *WIDTHS) else np.float32)
        values = values if spec.scale is None else values * values.dtype.type(spec.scale)
        if unknown is not None:
            values[unknown] = np.nan
        if spec.form in ("boxes", "points") and values.shape[-1] == WIDTHS[spec.form]:
            values = _corners(spec, values, size)
        return values if spec.form == "camera" else values.astype(np.float32)


def _classes(spec: LabelFile, file: Path, values: np.ndarray) -> np.ndarray:
    values = values if spec.invalid is None else np.where(values == spec.invalid, UNKNOWN, values)
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= UNKNOWN:
        strange = f"up to {values.max()}" if values.max() > UNKNOWN else f"down to {values.min()}"
        raise SampleError(
            f"{file}: classes go {strange}, expected 0 to {UNKNOWN}; set `scale` for depth, or `invalid` to what means "
            "unknown."
        )
    return values.astype(np.uint8)


def _corners(spec: LabelFile, values: np.ndarray, size: Size) -> np.ndarray:
    """Stored boxes and points -> x0 y0 x1 y1, or x y, in pixels."""
    if spec.relative:
        values = values * np.tile((size[1], size[0]), values.shape[-1] // 2)
    if spec.box == "xyxy":
        return values
    place, extent = values[..., :2], values[..., 2:]
    low = place if spec.box == "xywh" else place - extent / 2
    return np.concatenate([low, low + extent], -1)


def _listed(counts: set[int]) -> str:
    return ", ".join(map(str, sorted(counts)[:5]))
