"""Label table: what labelers wrote, a folder of parquet files with a row a clip and label, and how a source reads it.

Every file is written whole and put in place by renaming, so what is there is finished. A file's name comes from what it
answers: the same answers written twice are one file. Of several rows for one clip and label the newest file's counts,
and one without an error before one with."""

import hashlib
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from taskprompt.core import quality
from taskprompt.core.errors import SourceError
from taskprompt.core.types import FORMS, Form

SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # of the clip
        ("label", pa.string()),
        ("value", pa.string()),  # plain JSON; of an array, what stands beside it; null where it failed
        ("array", pa.binary()),  # the bytes of a label that is an array, or of the vectors of an embedding
        ("shape", pa.list_(pa.int64())),
        ("dtype", pa.string()),
        ("form", pa.string()),  # json, text, embedding, array, or a form of the picture: map, boxes ...
        ("address", pa.string()),  # of the clip's frames and all that was asked: the same address, the same answer
        ("asked", pa.string()),  # JSON: model, revision, prompt, sampling
        ("used", pa.string()),  # JSON: tokens read and written, whether it was cut off
        ("error", pa.string()),  # why there is no value; empty where there is one
        ("time", pa.float64()),  # seconds since 1970
    ],
    metadata={"format": "taskprompt.labels/1"},
)
SETTLED = 2_000_000_000  # nanoseconds after which a folder's time is not that of a later change, too
Record = dict[str, Any]


def address(frames: np.ndarray | None, read: dict[str, Any], asked: dict[str, Any]) -> str:
    """What an answer depends on, in 64 letters: the frames that are shown, the labels that are read, what is asked."""
    whole = hashlib.sha256(json.dumps([read, asked], sort_keys=True, default=str).encode())
    if frames is not None:
        whole.update(repr((frames.shape, frames.dtype.str)).encode() + np.ascontiguousarray(frames).tobytes())
    return whole.hexdigest()


def record(key: str, label: str, value: Any, **more: Any) -> Record:
    """A row. `value`: text, plain JSON, {text, vectors}, an array, or a form of the picture; None where it failed."""
    form, array, rest = _parts(value)
    packed = None if array is None else np.ascontiguousarray(array)
    return dict.fromkeys(SCHEMA.names) | {
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


def _parts(value: Any) -> tuple[str, np.ndarray | None, Any]:
    """form, array, what JSON holds."""
    if isinstance(value, Form):
        return type(value).__name__.lower(), value.values, {"swap": getattr(value, "swap", ())}
    if isinstance(value, np.ndarray):
        return "array", value, None
    if isinstance(value, dict) and set(value) == {"text", "vectors"}:
        return "embedding", np.atleast_2d(value["vectors"]), value["text"]
    return ("text" if isinstance(value, str) else "json"), None, value


def value_of(row: Record) -> Any:
    """The label in a row."""
    rest = json.loads(row["value"])
    if row["form"] in ("text", "json"):
        return rest
    array = np.frombuffer(row["array"], np.dtype(row["dtype"])).reshape(row["shape"])
    if row["form"] == "embedding":
        return {"text": rest, "vectors": array}
    if row["form"] == "array":
        return array
    swap = {"swap": tuple((a, b) for a, b in rest["swap"])} if rest["swap"] else {}
    return FORMS[row["form"]](array, **swap)


def append(folder: str | Path, rows: Sequence[Record]) -> Path:
    """Put rows into a table as one file. Raises SourceError where the folder cannot be written."""
    name = hashlib.sha256(json.dumps([[r["key"], r["label"], r["address"]] for r in rows]).encode()).hexdigest()[:32]
    path = Path(folder) / f"{name}.parquet"
    part = path.with_name(f".{name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist(list(rows), SCHEMA), part, compression="zstd")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SourceError(
            f"table {folder}: cannot be written: {error.strerror or error}. Make room, or choose another `table`."
        ) from error
    return path


def files(folder: str | Path) -> list[Path]:
    """The files of a table, oldest first."""
    found = ((path.stat().st_mtime_ns, path) for path in Path(folder).glob("[!.]*.parquet"))
    return [path for _, path in sorted(found)]


def read(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a table, oldest first. Raises SourceError where there is none, or it is no label table."""
    parts = []
    for path in files(folder):
        try:
            part = parquet.read_table(path, columns=None if columns is None else list(columns), memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise SourceError(
                f"table {folder}: {path.name} cannot be read: {error}. Remove it, and label again."
            ) from None
        if any(
            n not in part.schema.names or part.schema.field(n).type != SCHEMA.field(n).type
            for n in columns or SCHEMA.names
        ):
            raise SourceError(
                f"table {folder}: {path.name} is no label table: its columns are {', '.join(part.schema.names[:12])}, "
                f"expected {', '.join(SCHEMA.names)}. Name a folder that `taskprompt label` wrote."
            )
        parts.append(part)
    if not parts:
        raise SourceError(f"there is no label table in {str(folder)!r}. Write it with `taskprompt label`.")
    return pa.concat_tables(parts)


class LabelTable:
    """The finished labels of a table, by clip and label, without those that have a flag of `drop`."""

    def __init__(self, folder: str, drop: tuple[str, ...] = ()):
        self.folder = folder
        self.table = read(folder)
        self.at: dict[str, dict[str, int]] = {}
        columns = (self.table[n].to_pylist() for n in ("key", "label", "error"))
        for i, (key, label, error) in enumerate(zip(*columns, strict=True)):
            if not error:
                self.at.setdefault(label, {})[key] = i
        self.flagged = {label: self._flags(label) for label in self.at}
        for label, found in self.flagged.items():
            for key, flags in found.items():
                if set(flags) & set(drop):
                    del self.at[label][key]

    def _flags(self, label: str) -> dict[str, tuple[str, ...]]:
        """clip -> what is wrong with its text for a label, of those with which something is."""
        places = self.at[label]
        rows = self.table.select(["form", "value", "used"]).take(list(places.values())).to_pylist()
        texts = {k: r for k, r in zip(places, rows, strict=True) if r["form"] in ("text", "embedding")}
        cut = (json.loads(r["used"] or "{}").get("truncated", False) for r in texts.values())
        found = quality.flags([json.loads(r["value"]) for r in texts.values()], cut)
        return {key: flags for key, flags in zip(texts, found, strict=True) if flags}

    def counts(self) -> dict[str, dict[str, int]]:
        """label -> flag -> how many clips have it."""
        return {n: dict(Counter(f for flags in found.values() for f in flags)) for n, found in self.flagged.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that some clip has."""
        return tuple(sorted(label for label, places in self.at.items() if places))

    def of(self, key: str, wanted: Iterable[str]) -> dict[str, Any]:
        """A clip's labels, those of `wanted` that it has."""
        places = {n: self.at[n][key] for n in wanted if key in self.at.get(n, ())}
        return {n: value_of(self.table.slice(i, 1).to_pylist()[0]) for n, i in places.items()}


def open_table(folder: str, drop: tuple[str, ...] = ()) -> LabelTable:
    """The table as it is now; one that has not changed is kept.

    Readers ask for every clip, and a table may have thousands of files, so the folder's own time tells: files come and
    go by renaming. Only while it is fresh might two changes share one time, so that every file is looked at."""
    changed = Path(folder).stat().st_mtime_ns if Path(folder).is_dir() else 0
    if time.time_ns() - changed > SETTLED:
        return _open(folder, drop, (changed,))
    return _open(folder, drop, tuple((str(p), p.stat().st_mtime_ns) for p in files(folder)))


@lru_cache(maxsize=16)
def _open(folder: str, drop: tuple[str, ...], state: tuple) -> LabelTable:
    return LabelTable(folder, drop)
