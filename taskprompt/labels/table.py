"""Label table: a folder of parquet files with one row per clip and label, written by labelers and read by sources.

Every file is written under a temporary name and renamed, so existing files are complete. A file's name is a hash of its
content, so the same answers written twice are one file. Of several rows for one clip and label, a row without an error
has priority, then that of the newest file."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from taskprompt.core.errors import LayoutError, SampleError
from taskprompt.core.files import replacing, writing
from taskprompt.core.text import unicode
from taskprompt.core.types import FORMS, Form
from taskprompt.labels import quality
from taskprompt.labels.files import SCHEMA, files, read

SHAPES = {"map": (3, None), "vectors": (4, 3), "boxes": (3, 4), "points": (3, 2), "joints": (3, 3), "camera": (3, 3)}
NUMBERS = "biuf"  # numpy's dtype kinds: bool, integers and floats
SETTLED = 2_000_000_000  # nanoseconds after which a later change gets a different folder mtime
Record = dict[str, Any]


def address(frames: np.ndarray | None, read: dict[str, Any], asked: dict[str, Any]) -> str:
    """Hash of everything that an answer depends on: the frames, the input labels and the question."""
    whole = hashlib.sha256(json.dumps([read, asked], sort_keys=True, default=str).encode())
    if frames is not None:
        whole.update(repr((frames.shape, frames.dtype.str)).encode() + np.ascontiguousarray(frames).tobytes())
    return whole.hexdigest()


def record(key: str, label: str, value: Any, **more: Any) -> Record:
    """A row. `value`: text, plain JSON, {text, vectors}, an array, or a spatial label; None if it failed.

    Raises LayoutError for an array that is not numeric."""
    form, array, rest = _parts(value)
    packed = None if array is None else np.ascontiguousarray(array)
    if packed is not None and packed.dtype.kind not in NUMBERS:
        raise LayoutError(f"label {label!r} of clip {key!r} is an array of {packed.dtype}, expected numbers.")
    row = dict.fromkeys(SCHEMA.names) | {
        "key": key,
        "label": label,
        "form": form,
        "value": None if value is None else json.dumps(rest, ensure_ascii=False),
        "array": None if packed is None else packed.tobytes(),
        "shape": None if packed is None else list(packed.shape),
        "dtype": None if packed is None else packed.dtype.str,
        "error": "",
        **more,
    }
    return {name: unicode(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def _parts(value: Any) -> tuple[str, np.ndarray | None, Any]:
    """form, array, JSON part."""
    if isinstance(value, Form):
        return type(value).__name__.lower(), value.values, {"swap": getattr(value, "swap", ())}
    if isinstance(value, np.ndarray):
        return "array", value, None
    if isinstance(value, dict) and set(value) == {"text", "vectors"}:
        return "embedding", np.atleast_2d(value["vectors"]), value["text"]
    return ("text" if isinstance(value, str) else "json"), None, value


def value_of(row: Record) -> Any:
    """The label in a row. Raises SampleError if it is invalid: the file is untrusted."""
    try:
        return _value(row)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = " ".join(str(error).split())[:120] if not isinstance(error, RecursionError) else "it is nested too deeply"
        what = f"clip {row['key']!r}, label {row['label']!r}"
        raise SampleError(f"label table: {what}: the row has no valid {row['form']}: {why}. Remove it.") from None


def _value(row: Record) -> Any:
    form, rest = row["form"], parsed(row["value"])
    if form in ("text", "embedding") and not isinstance(rest, str):
        raise ValueError(f"`value` is {type(rest).__name__}, expected text")
    if form in ("text", "json"):
        return rest
    if form not in FORMS and form not in ("embedding", "array"):
        raise ValueError(f"expected form text, json, embedding, array, {', '.join(FORMS)}")
    array = _array(row)
    rank, width = SHAPES.get(form, (2 if form == "embedding" else array.ndim, None))
    if array.ndim != rank or (width and array.shape[-1] != width):
        raise ValueError(f"its shape is {array.shape}")
    if form == "embedding":
        return {"text": rest, "vectors": array}
    if form == "array":
        return array
    pairs = rest.get("swap") if isinstance(rest, dict) else None
    if not pairs:
        return FORMS[form](array)
    if any(not 0 <= int(i) < array.shape[1] for pair in pairs for i in pair) or {len(pair) for pair in pairs} != {2}:
        raise ValueError("`swap` has invalid pairs")
    return FORMS[form](array, swap=tuple((a, b) for a, b in pairs))


def _array(row: Record) -> np.ndarray:
    dtype = np.dtype(row["dtype"] or "O")
    if dtype.kind not in NUMBERS:
        raise ValueError(f"dtype {row['dtype']!r} is not numeric")
    if row["array"] is None or row["shape"] is None or any(n is None or n < 0 for n in row["shape"]):
        raise ValueError("`array` or `shape` is missing")
    return np.frombuffer(row["array"], dtype).reshape(row["shape"])


def parsed(text: str | None) -> Any:
    """JSON of a table's cell. Raises ValueError if it is invalid, RecursionError if it is nested too deeply."""
    if text is None:
        raise ValueError("null where JSON is expected")
    return json.loads(text)


def used_of(row: Record) -> dict[str, Any]:
    """The usage facts of a row's answer; empty if the cell is invalid."""
    try:
        found = parsed(row["used"] or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def append(folder: str | Path, rows: Sequence[Record]) -> Path:
    """Append rows to a table as one file. Raises WriteError if the folder cannot be written."""
    name = hashlib.sha256(json.dumps([[r["key"], r["label"], r["address"]] for r in rows]).encode()).hexdigest()[:32]
    path = Path(folder) / f"{name}.parquet"
    advice = "or choose another `table`."
    with writing(f"table {folder}", advice):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, advice) as draft:
            parquet.write_table(pa.Table.from_pylist(list(rows), SCHEMA), draft, compression="zstd")
    return path


class LabelTable:
    """The successful labels of a table, by clip and label, without those with a flag in `drop`."""

    def __init__(self, folder: str, drop: tuple[str, ...] = ()):
        self.folder = folder
        self.table = read(folder)
        self.at: dict[str, dict[str, int]] = {}
        failed: dict[str, dict[str, int]] = {}
        columns = (self.table[n].to_pylist() for n in ("key", "label", "error"))
        for i, (key, label, error) in enumerate(zip(*columns, strict=True)):
            (failed if error else self.at).setdefault(label, {})[key] = i
        self.flagged = {label: self._flags(label) for label in self.at}
        self.filtered = {label: self._filtered(places, self.at.get(label, {})) for label, places in failed.items()}
        for label, found in self.flagged.items():
            for key, flags in found.items():
                if set(flags) & set(drop):
                    del self.at[label][key]

    def _flags(self, label: str) -> dict[str, tuple[str, ...]]:
        """clip -> flags of its text for a label, if it has any."""
        places = self.at[label]
        rows = self.table.select(["key", "label", "form", "value", "used"]).take(list(places.values())).to_pylist()
        texts = {row["key"]: (text, used_of(row)) for row in rows if (text := _text(row)) is not None}
        found = quality.flags(
            [text for text, _ in texts.values()], (bool(u.get("truncated")) for _, u in texts.values())
        )
        thought = (("reasoning",) if used.get("reasoning") else () for _, used in texts.values())
        return {k: flags + more for k, flags, more in zip(texts, found, thought, strict=True) if flags or more}

    def _filtered(self, failed: dict[str, int], there: dict[str, int]) -> int:
        """Number of clips without an answer because of the server's content filter."""
        places = pa.array([i for key, i in failed.items() if key not in there], pa.int64())
        rows = self.table.select(["used"]).take(places).to_pylist()
        return sum(bool(used_of(row).get("filtered")) for row in rows)

    def counts(self) -> dict[str, dict[str, int]]:
        """label -> flag -> number of clips with it; and `filtered`: number of clips whose answer was filtered."""
        counts = {n: Counter(f for flags in found.values() for f in flags) for n, found in self.flagged.items()}
        for label, count in self.filtered.items():
            if count:
                counts.setdefault(label, Counter())["filtered"] = count
        return {label: dict(found) for label, found in counts.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that at least one clip has."""
        return tuple(sorted(label for label, places in self.at.items() if places))

    def of(self, key: str, wanted: Iterable[str]) -> dict[str, Any]:
        """A clip's labels among `wanted`. Raises SampleError if a row is damaged."""
        places = {n: self.at[n][key] for n in wanted if key in self.at.get(n, ())}
        return {n: value_of(self.table.slice(i, 1).to_pylist()[0]) for n, i in places.items()}


def _text(row: Record) -> str | None:
    """The text of an answer; None if it has no text, or the row is damaged, which is reported when its clip is read."""
    if row["form"] not in ("text", "embedding"):
        return None
    try:
        text = parsed(row["value"])
    except (ValueError, RecursionError):
        return None
    return text if isinstance(text, str) else None


def open_table(folder: str, drop: tuple[str, ...] = ()) -> LabelTable:
    """The current table; an unchanged one is cached.

    It is called for every clip, and a table may have thousands of files, so changes are detected by the folder's mtime:
    files are added and removed by renaming. While that is recent, two changes may share it, so all files are
    checked."""
    changed = Path(folder).stat().st_mtime_ns if Path(folder).is_dir() else 0
    if time.time_ns() - changed > SETTLED:
        return _open(folder, drop, (changed,))
    return _open(folder, drop, tuple((str(p), p.stat().st_mtime_ns) for p in files(folder)))


@lru_cache(maxsize=16)
def _open(folder: str, drop: tuple[str, ...], state: tuple) -> LabelTable:
    return LabelTable(folder, drop)
