"""Folder: your own videos, with one subfolder per class or a csv file, and label files next to them."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import field_validator, model_validator

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SampleError, SourceError, SpecError, nearest
from taskprompt.core.moment import Moment
from taskprompt.core.source import Source
from taskprompt.core.types import Clip, Row, Sample
from taskprompt.sources._folder.label_file import LabelFile
from taskprompt.sources._folder.labels import read_label
from taskprompt.sources._folder.listing import by_csv, by_folder, place, unique
from taskprompt.sources._folder.pattern import fields
from taskprompt.sources._folder.table import Columns, header
from taskprompt.sources._folder.walk import entries, readable, real_path, subfolders
from taskprompt.video.decode import SLACK, read_clip
from taskprompt.video.sampling import sample_times
from taskprompt.video.store import is_stored, read_frames, read_labels, read_meta

if TYPE_CHECKING:
    import pyarrow as pa

    from taskprompt.core.task import Task

SAMPLES = 8  # stored samples to read for their labels' names


class Folder(Source):
    """Videos in any container format below a folder; also samples written by `taskprompt render`, undeclared.

    A video without spatial labels is scaled down while it is read, to twice the larger side of the clip. Files written
    by `taskprompt predict` (`.taskprompt.` in the name) are not read as videos."""

    path: str  # the folder
    csv: str | None = None  # file with one line per clip, relative to `path`; null: class/clip.mp4
    columns: Columns = Columns()  # of the csv
    file: str = "{clip}"  # csv: the video's path, given the value of its column, such as "videos/{clip}.mp4"
    label: str = "action"  # the name of the class label
    texts: dict[str, str] = {}  # label -> csv column, read as text
    numbers: dict[str, str] = {}  # label -> csv column, read as a number
    labels: dict[str, LabelFile] = {}  # label -> the label file of each clip
    split: str | None = None  # csv: only lines with this value in the split column; null: all
    share: tuple[float, float] = (0.0, 1.0)  # only clips whose name's hash, 0 to 1, is in this range
    leave: tuple[float, float] | None = None  # exclude this range; for a fold, `leave` in training, `share` held out
    classes: tuple[str, ...] | None = None  # only clips of these classes; null: all
    flip_sensitive: tuple[str, ...] = ()  # classes in which left and right matter: never flipped

    @field_validator("share", "leave")
    @classmethod
    def _ordered(cls, value):
        if value is not None and not 0 <= value[0] < value[1] <= 1:
            raise SpecError(f"found {value}, expected two numbers with 0 <= low < high <= 1.")
        return value

    @field_validator("file")
    @classmethod
    def _is_pattern(cls, value):
        try:
            known = set(fields(value)) == {"clip"}
        except ValueError:
            known = False
        if not known:
            raise SpecError(f"found {value!r}, expected a path with {{clip}} in it.")
        return value

    @model_validator(mode="after")
    def _agrees(self):
        for field in ("texts", "numbers", "split"):
            if getattr(self, field) and self.csv is None:
                raise SpecError(f"`{field}` has no meaning without `csv`.")
        names = [self.label, *self.texts, *self.numbers, *self.labels]
        if len(set(names)) < len(names):
            raise SpecError(
                f"a label is declared twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}."
            )
        return self

    def own_labels(self) -> tuple[str, ...]:
        """The declared labels, the class if there is one, and the labels of the first stored sample of each folder."""
        folder = readable(self.path)
        named = any(subfolders(folder)) if self.csv is None else self.columns.label in header(folder, self.csv)
        names = [self.label] * named + [*self.texts, *self.numbers, *self.labels, *_stored_names(folder)]
        return tuple(dict.fromkeys(names))

    def why_missing(self, label: str) -> str:
        """The csv lacks the column of classes."""
        if self.csv is None or label != self.label or label in self.own_labels():
            return ""
        found = ", ".join(header(readable(self.path), self.csv))
        return f"{self.csv} has no column {self.columns.label!r} (found: {found}; set `columns.label`)"

    def rows(self) -> Iterator[Row]:
        """One row per clip, in the order of names or of the csv's lines. Raises SourceError if there is none."""
        folder = readable(self.path)
        values = {n: (c, False) for n, c in self.texts.items()} | {n: (c, True) for n, c in self.numbers.items()}
        listed = (
            by_folder(folder)
            if self.csv is None
            else by_csv(folder, self.csv, self.columns, self.file, self.split, values)
        )
        found: set[str] = set()
        empty = True
        for row in unique(row for row in listed if self._has(place(row["name"]))):
            found.add(row["class"])
            if self.classes is None or row["class"] in self.classes:
                empty = False
                yield row
        for name in self.classes or ():
            if name not in found:
                known = ", ".join(sorted(found - {""})[:20]) or "none"
                raise SourceError(f"`classes`: no clip is of the class {name!r}{nearest(name, found)} Found: {known}.")
        if empty:
            raise SourceError(
                f"path {self.path!r}: no video is selected. Check `path`, `csv`, `split`, `share` and `leave`."
            )

    def values(self, table: "pa.Table") -> dict[str, Counter[str]]:
        """The classes; not of stored samples, whose label may differ from their folder's name."""
        classes = table["class"].to_pylist()
        if self.csv is None:
            clips = table["clip"].to_pylist()
            stored = (c.endswith(".mov") and is_stored(real_path(c)) for c in clips)
            classes = [name for name, own in zip(classes, stored, strict=True) if not own]
        return {self.label: Counter(name for name in classes if name)}

    def mistakes(self, table: "pa.Table", tasks: Mapping[str, "Task"]) -> Iterator[str]:
        """Classes that no task lists, and names in `flip_sensitive` that are not a class of any task or clip."""
        yield from super().mistakes(table, tasks)
        found = self.values(table)[self.label]
        reading = [task for name, task in tasks.items() if task.label_name(name) == self.label]
        part = self.share != (0.0, 1.0) or self.leave or self.split or self.classes
        if not reading and (part or not found):
            return  # excluded clips may have these classes, or stored samples have their own
        for name in self.flip_sensitive:
            if name not in found and all(name in task.unlisted([name]) for task in reading):
                known = (*found, *(c for task in reading for c in task.unseen([])))
                yield f"`flip_sensitive` names {name!r}, which is not a class of a clip or a task{nearest(name, known)}"

    def _has(self, at: float) -> bool:
        """Whether a clip with this hash belongs to the source."""
        return _within(at, self.share) and not (self.leave and _within(at, self.leave))

    def load(self, row: Row, clip: ClipSpec, moment: Moment) -> Sample:
        """Load one clip of a row, only from the row's span."""
        try:
            return self._load(row, clip, moment)
        except OSError as error:  # missing permission, or a disk error
            raise SampleError(
                f"{row['name']}: cannot be read: {error.strerror or error}. Check its permissions, or remove it."
            ) from None

    def _load(self, row: Row, clip: ClipSpec, moment: Moment) -> Sample:
        video = real_path(row["clip"])
        end = None if math.isnan(row["end"]) else row["end"]
        if is_stored(video):
            sample = self._load_stored(row, video, clip, moment, end)
        else:
            fixed = any(spec.in_pixels for name, spec in self.labels.items() if self.keeps(name))
            small = None if fixed else 2 * max(clip.height, clip.width)
            sample = Sample(row["key"], read_clip(video, clip, moment, row["start"], end, small, stored=fixed))
        labels = self._row_labels(row)
        # A csv's class overrides that of a stored sample; the name of its folder does not.
        labels = sample.labels | labels if self.csv else labels | sample.labels
        for name, spec in self.labels.items():
            if self.keeps(name) and (label := read_label(spec, video, sample.clip, clip.formats)) is not None:
                labels[name] = label
        flip_sensitive = (
            sample.flip_sensitive
            or row["class"] in self.flip_sensitive
            or labels.get(self.label) in self.flip_sensitive
        )
        sample = Sample(row["key"], sample.clip, labels, flip_sensitive)
        if sample.clip.aspect == 1:
            return sample
        # Lazy, since torchvision takes seconds to import.
        from taskprompt.video.augment import squared

        return squared(sample)

    def _row_labels(self, row: Row) -> dict[str, Any]:
        labels: dict[str, Any] = {self.label: row["class"]} if row["class"] else {}
        labels |= {n: row[f"value {n}"] for n in self.texts if row[f"value {n}"]}
        labels |= {n: row[f"value {n}"] for n in self.numbers if not math.isnan(row[f"value {n}"])}
        return {n: v for n, v in labels.items() if self.keeps(n)}

    def _load_stored(self, row: Row, video: Path, clip: ClipSpec, moment: Moment, end: float | None) -> Sample:
        path = video.with_suffix("")
        meta = read_meta(path)
        times = np.asarray(meta.times)
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        stop = times[-1] + step if end is None else min(end, times[-1] + step)
        wanted = sample_times(clip, max(row["start"], times[0]), stop, moment)
        at = np.clip(np.searchsorted(times, wanted + SLACK, side="right") - 1, 0, None)
        shown = Clip(read_frames(path, meta, at), times[at])
        return Sample(row["key"], shown, read_labels(path, meta, at, self.only), meta.flip_sensitive)


def _within(at: float, part: tuple[float, float]) -> bool:
    return part[0] <= at < part[1]


def _stored_names(folder: Path) -> list[str]:
    """Labels of the first stored sample of the folder and of each one below it."""
    parts = (folder, *subfolders(folder))
    return [name for part in parts for name in _first_names(part, part.stat().st_mtime_ns)]


@lru_cache(
    maxsize=4096
)  # called often by a recipe's checks; `changed`: the folder's mtime, which changes with its files
def _first_names(part: Path, changed: int) -> tuple[str, ...]:
    names = [entry.name for entry in entries(str(part)) if entry.name.endswith(".labels.json")]
    for name in names[:SAMPLES]:
        with suppress(SampleError):  # a damaged sample is skipped and counted when it is read
            meta = read_meta(part / name.removesuffix(".labels.json"))
            return (*meta.labels, *meta.arrays)
    return ()
