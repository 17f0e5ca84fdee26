"""Folder: your own videos, one sub-folder a class or listed in a csv file, with any label files beside them."""

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

SAMPLES = 8  # stored samples that are looked into for their labels' names


class Folder(Source):
    """Videos of any container below a folder; also the samples that `taskprompt render` wrote, without declaration.

    A video without labels that live in its picture is scaled down while it is read, to twice the larger side of the
    clip. What `taskprompt predict` wrote (`.taskprompt.` in its name) is no video to read."""

    path: str  # the folder
    csv: str | None = None  # file with a line a clip, from `path`; null: class/clip.mp4, the folder names the class
    columns: Columns = Columns()  # of the csv
    file: str = "{clip}"  # csv: the video's path from what its column holds, such as "videos/{clip}.mp4"
    label: str = "action"  # the name of the label that holds the class
    texts: dict[str, str] = {}  # label -> csv column, read as text
    numbers: dict[str, str] = {}  # label -> csv column, read as a number
    labels: dict[str, LabelFile] = {}  # label -> the file beside each clip that holds it
    split: str | None = None  # csv: the lines whose split column holds this; null: all
    share: tuple[float, float] = (0.0, 1.0)  # clips whose name falls here, 0 to 1 by hash: (0, 0.8) and (0.8, 1) part
    leave: tuple[float, float] | None = None  # clips that are left out, likewise: a fold is `leave` here, `share` there
    classes: tuple[str, ...] | None = None  # the classes to read, other clips are left out; null: all
    flip_sensitive: tuple[str, ...] = ()  # classes in which left and right matter: never mirrored

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
        """The declared labels, the class where there is one, and what the first stored sample of each folder holds."""
        folder = readable(self.path)
        named = any(subfolders(folder)) if self.csv is None else self.columns.label in header(folder, self.csv)
        names = [self.label] * named + [*self.texts, *self.numbers, *self.labels, *_stored_names(folder)]
        return tuple(dict.fromkeys(names))

    def why_missing(self, label: str) -> str:
        """A csv without the column of classes."""
        if self.csv is None or label != self.label or label in self.own_labels():
            return ""
        found = ", ".join(header(readable(self.path), self.csv))
        return f"{self.csv} has no column {self.columns.label!r} (found: {found}; `columns.label` names another)"

    def rows(self) -> Iterator[Row]:
        """A row a clip, or a line of the csv, in the order of names or lines. Raises SourceError where none is."""
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
                f"path {self.path!r}: no video is there to read. Check `path`, `csv`, `split`, `share` and `leave`."
            )

    def values(self, table: "pa.Table") -> dict[str, Counter[str]]:
        """The classes; not of stored samples, which may name others than their folder does."""
        classes = table["class"].to_pylist()
        if self.csv is None:
            clips = table["clip"].to_pylist()
            stored = (c.endswith(".mov") and is_stored(real_path(c)) for c in clips)
            classes = [name for name, own in zip(classes, stored, strict=True) if not own]
        return {self.label: Counter(name for name in classes if name)}

    def mistakes(self, table: "pa.Table", tasks: Mapping[str, "Task"]) -> Iterator[str]:
        """Classes that no task lists, and names under `flip_sensitive` that are neither a task's nor of any clip."""
        yield from super().mistakes(table, tasks)
        found = self.values(table)[self.label]
        reading = [task for name, task in tasks.items() if task.label_name(name) == self.label]
        part = self.share != (0.0, 1.0) or self.leave or self.split or self.classes
        if not reading and (part or not found):
            return  # other clips may be of these classes, or the samples themselves name theirs
        for name in self.flip_sensitive:
            if name not in found and all(name in task.unlisted([name]) for task in reading):
                known = (*found, *(c for task in reading for c in task.unseen([])))
                yield f"`flip_sensitive` names {name!r}, which is no class of a clip or a task{nearest(name, known)}"

    def _has(self, at: float) -> bool:
        """Is a clip whose name falls there one of its own?"""
        return _within(at, self.share) and not (self.leave and _within(at, self.leave))

    def load(self, row: Row, clip: ClipSpec, moment: Moment) -> Sample:
        """One clip of a row; frames outside the row's span are never shown."""
        try:
            return self._load(row, clip, moment)
        except OSError as error:  # a locked folder, a disk that fails
            raise SampleError(
                f"{row['name']}: cannot be read: {error.strerror or error}. Unlock or remove it."
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
        # A csv is written on purpose; the name of the folder in which a stored sample happens to lie is not.
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
        # Here, since torchvision takes seconds to load.
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


@lru_cache(maxsize=4096)  # a recipe's checks ask many times; a folder's time changes with the files in it
def _first_names(part: Path, changed: int) -> tuple[str, ...]:
    names = [entry.name for entry in entries(str(part)) if entry.name.endswith(".labels.json")]
    for name in names[:SAMPLES]:
        with suppress(SampleError):  # a damaged sample is skipped and counted when it is read
            meta = read_meta(part / name.removesuffix(".labels.json"))
            return (*meta.labels, *meta.arrays)
    return ()
