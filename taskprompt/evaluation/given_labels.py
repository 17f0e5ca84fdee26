"""Labels passed to `predict` with a video: inputs of the heads of some tasks."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from taskprompt.core.errors import SpecError, nearest
from taskprompt.core.types import FORMS, Clip
from taskprompt.video.array_files import read_json
from taskprompt.video.geometry import AXES


def given_labels(given: Mapping[str, Any] | str | Path, clip: Clip) -> dict[str, Any]:
    """label -> entry, or a json file of these, as labels of a clip's frames.

    An entry has `form` and `values`, and `times` where the values change over time. `form` is that of a folder's
    `labels`. `values` are one set for all frames (boxes: o 4), or one for each of `times` (boxes: r o 4), in seconds
    from the start of the file; each frame gets the nearest. Coordinates are in pixels of the video; null and NaN mean
    unknown. Raises SampleError for a file that cannot be read, SpecError for invalid content."""
    entries = given if isinstance(given, Mapping) else read_json(Path(given))
    if not isinstance(entries, Mapping):
        raise SpecError(f"--inputs: found {reprlib.repr(entries)}, expected names of labels, each with an entry.")
    return {str(name): _label(f"--inputs: label {name!r}", entry, clip) for name, entry in entries.items()}


def _label(where: str, entry: Any, clip: Clip) -> Any:
    if not isinstance(entry, Mapping) or not {"form", "values"} <= set(entry) <= {"form", "values", "times"}:
        found = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else reprlib.repr(entry)
        raise SpecError(f"{where}: found {found}, expected `form` and `values`, and `times` where the values change.")
    form, values, times = entry["form"], entry["values"], entry.get("times")
    known = [*FORMS, "value"]
    if form not in known:
        raise SpecError(f"{where}: found the form {form!r}{nearest(str(form), known)} Known: {', '.join(known)}.")
    if form == "value":
        return values if times is None else _rows(where, values, times, clip)
    values = _numbers(where, form, values)
    axes = [*([] if times is None else ["times"]), *AXES[FORMS[form]].split()[1:]]
    if values.ndim != len(axes):
        raise SpecError(
            f"{where}: found values of {values.ndim} axes, expected {len(axes)}: {' '.join(axes)}. Give one set of "
            "values for all frames, or `times` in seconds and one set for each of them."
        )
    return FORMS[form](values[None].repeat(len(clip.times), 0) if times is None else _rows(where, values, times, clip))


def _numbers(where: str, form: str, values: Any) -> np.ndarray:
    """Integers of a map are classes; all other values are float32, those of a camera float64."""
    try:
        found = np.asarray(values)
        if form == "map" and found.dtype.kind in "bui" and found.size and 0 <= found.min() <= found.max() <= 255:
            return found.astype(np.uint8)
        return found.astype(np.float64 if form == "camera" else np.float32)
    except (TypeError, ValueError, OverflowError):
        raise SpecError(f"{where}: found {reprlib.repr(values)}, expected numbers in a regular array.") from None


def _rows(where: str, values: Any, times: Any, clip: Clip) -> Any:
    """The values nearest in time to each frame of the clip."""
    if not isinstance(values, list | np.ndarray):
        raise SpecError(f"{where}: found {reprlib.repr(values)}, expected a list with an entry for each of `times`.")
    try:
        seconds = np.asarray(times, np.float64)
    except (TypeError, ValueError):
        seconds = np.empty(0)
    if seconds.shape != (len(values),) or not len(seconds) or not np.isfinite(seconds).all():
        raise SpecError(f"{where}: found times {reprlib.repr(times)}, expected {len(values)} numbers, in seconds.")
    nearest_row = np.abs(seconds[None] - clip.times[:, None]).argmin(1)
    return values[nearest_row] if isinstance(values, np.ndarray) else [values[i] for i in nearest_row.tolist()]
