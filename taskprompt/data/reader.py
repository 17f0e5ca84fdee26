"""Reader: positions of one source -> columns of decoded, augmented, target-carrying rows. It runs on data workers."""

import dataclasses
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from taskprompt.core.augment import Augment
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import ErrorRecord, LayoutError, SampleError, SourceError, TaskPromptError
from taskprompt.core.moment import Middle, Moment, Part, Random
from taskprompt.core.source import Source
from taskprompt.core.task import Task
from taskprompt.core.types import Columns, Dims, Row, Sample
from taskprompt.data.batch import blank, prepare, prepare_views, reads_clip
from taskprompt.data.order import FROM_THE_START, IndexSequence, epoch_order, locate, sample_rng, source_seed, view_rng
from taskprompt.data.views import check_span, count_views, ends_early, rearranged
from taskprompt.labels.join import labels_in_tables
from taskprompt.recipe.recipe import Recipe
from taskprompt.video.geometry import View, check_labels, move_labels

ROWS = 1 << 16  # that are dictionaries at once


@dataclasses.dataclass(frozen=True)
class Reader:
    """Everything a data worker needs to read one source; small but for the table of rows."""

    name: str
    source: Source
    tasks: Mapping[str, Task]  # those whose label the source gives
    clip: ClipSpec
    augment: Augment | None  # None: held out, so listed order, middle of the video, centre crop
    dims: Dims
    seed: int
    table: pa.Table  # of rows
    sequence: IndexSequence = FROM_THE_START  # what index stands for which position
    test_clips: int = 1  # of a video, for tasks that merge their outputs; held-out sources
    views: Mapping[str, int] = dataclasses.field(init=False)  # task -> how many of each clip

    def __post_init__(self):
        object.__setattr__(self, "views", count_views(self.tasks, self.clip, self.test_clips))

    def __len__(self) -> int:
        return self.table.num_rows

    def following(self, sequence: IndexSequence) -> "Reader":
        """The same reader with another meaning of indices."""
        return dataclasses.replace(self, sequence=sequence)

    def __call__(self, indices: np.ndarray) -> Columns:
        """p -> p ... columns, with `index`, and `error` (empty where the sample is usable)."""
        return stack([self.read(int(i)) for i in indices])

    def read(self, place: int) -> Columns:
        """One index as a flat row. A sample that cannot be used is blank, with its ErrorRecord in `error`."""
        position = self.sequence(place)
        copy = 0
        if self.augment:
            turn, copy = divmod(position, self.source.repeats)
            epoch, index = locate(turn, len(self), self.seed)
        else:
            epoch, index = divmod(position, len(self))
        row = self._row(index)
        try:
            columns, error = self._columns(row, index, epoch, copy), ""
        except SampleError as problem:
            columns, error = self.blank(), ErrorRecord.of(problem, row["key"]).dumps()
        except TaskPromptError:
            raise
        except Exception as problem:
            what = f"source {self.name!r}, sample {row['key']!r}: {type(problem).__name__}: {problem}"
            raise SourceError(
                f"{what}. Fix the source's or a task's code, or raise SampleError to skip it."
            ) from problem
        return columns | {"key": np.asarray(row["key"]), "index": np.asarray(place), "error": np.asarray(error)}

    def blank(self) -> Columns:
        """The row in place of a sample that could not be read."""
        return blank(self.tasks, self.dims, self.views)

    def _columns(self, row: Row, index: int, epoch: int, copy: int) -> Columns:
        """A row's clip with the targets of the tasks that read it, and the views or test clips of the others."""
        of_clip = {n: t for n, t in self.tasks.items() if n not in self.views}
        columns: Columns = {"key": np.asarray(row["key"])}
        if reads_clip(self.tasks, self.views):
            columns |= prepare(self._sample(row, index, epoch, copy), of_clip, self.dims)
        for name, count in self.views.items():
            task = self.tasks[name]
            if task.labelled:
                shown = self._test_clips(name, task, row, count)
            else:
                shown = self._shown(name, task, row, epoch, copy)
            columns |= prepare_views(name, task, shown, count, self.dims)
        return columns

    def _test_clips(self, name: str, task: Task, row: Row, count: int) -> list[tuple[Any, Sample]]:
        """The label of a row and each of its test clips; empty if it has no label for the task."""
        from taskprompt.video.augment import augment

        label, shown = task.label_name(name), []
        source = self.source.model_copy(update={"only": (label,)})
        for part in range(count):
            sample = augment(load(source, row, self.clip, Part(part, count)), self.clip)
            if sample.labels.get(label) is None:
                return []
            shown.append((sample.labels[label], sample))
        return shown

    def _shown(self, name: str, task: Task, row: Row, epoch: int, copy: int) -> list[tuple[Any, Sample]]:
        """The label and the sample of each view of a row; empty if the video is too short for one of them."""
        from taskprompt.video.augment import augment

        key, rng = row["key"], view_rng(self.seed, epoch, row["key"], copy, name)
        views = task.checked_views(name, self.clip, rng, key)
        if len(views) != self.views[name]:
            raise LayoutError(
                f"task {name!r}, sample {key!r}: views returned {len(views)} of them, and {self.views[name]} before. "
                f"Let {type(task).__name__}.views always return as many."
            )
        picture_seed, shown = int(rng.integers(1 << 63)), []
        source = self.source.model_copy(update={"only": ()})  # the task makes its labels
        for view in views:
            spec = view.spec(self.clip)
            sample = load(source, row, spec, self._moment(rng))
            check_span(self.name, sample, view, spec)
            if view.whole and ends_early(sample.clip):
                return []
            sample = rearranged(sample, view.frames)
            same = np.random.default_rng(picture_seed)
            shown.append((view.label, augment(sample, self.clip, self.augment, same, self.source.allow_flip)))
        return shown

    def _sample(self, row: Row, index: int, epoch: int, copy: int) -> Sample:
        """One row as the model will see it: loaded, cut to the labels kept, augmented; copies of an epoch differ."""
        # Here, since torchvision takes seconds to load, and the training process leaves reading to others.
        from taskprompt.video.augment import augment

        rng = sample_rng(self.seed, epoch, row["key"], copy)
        sample = load(self.source, row, self.clip, self._moment(rng))
        if self.source.permute_labels is not None:
            sample = self._exchanged(sample, index, epoch, self.source.permute_labels)
        return augment(sample, self.clip, self.augment, rng, self.source.allow_flip)

    def _moment(self, rng: np.random.Generator) -> Moment:
        return Random(rng) if self.augment is not None and self.augment.jitter else Middle()

    def _row(self, index: int) -> Row:
        return self.table.slice(index, 1).to_pylist()[0]

    def _exchanged(self, sample: Sample, index: int, epoch: int, seed: int) -> Sample:
        """The sample with all labels of another row, the same one in every epoch, scaled to this one's frames."""
        row = self._row(int(epoch_order(len(self), seed, 0)[index]))
        other = load(self.source, row, self.clip, self._moment(sample_rng(self.seed, epoch, row["key"])))
        (height, width), (h, w) = sample.clip.video.shape[1:3], other.clip.video.shape[1:3]
        check_labels(other)
        labels = move_labels(other.labels, View(0, 0, w, h, width, height))
        return dataclasses.replace(sample, labels=labels, flip_sensitive=sample.flip_sensitive or other.flip_sensitive)


def load(source: Source, row: Row, clip: ClipSpec, moment: Moment) -> Sample:
    """A row as a Sample with all labels that `only` keeps, those of the source's tables too."""
    sample = source.load(row, clip, moment)
    labels = {n: v for n, v in sample.labels.items() if source.keeps(n)}
    return dataclasses.replace(sample, labels=labels | labels_in_tables(source, sample.key))


def make_reader(recipe: Recipe, name: str, source: Source, training: bool, test_clips: int = 1) -> Reader:
    """List a source's rows and make its reader. Raises SourceError where there is nothing to read.

    test_clips: of each held-out video, for tasks that merge their outputs."""
    table = table_of(source.rows())
    if not len(table):
        raise SourceError(f"source {name!r} lists no clips: {source!r}. Check its path, split and filters.")
    tasks = recipe.tasks_of(name, source) if training else recipe.measured(name, source)
    mistakes = [*source.mistakes(table, tasks)]
    if mistakes:
        more = f" (And {len(mistakes) - 3} more like it.)" if len(mistakes) > 3 else ""
        raise SourceError(f"source {name!r}: {' '.join(mistakes[:3])}{more}")
    seed = source_seed(recipe.seed, name)
    augmentation = (source.augment or recipe.augment) if training else None
    return Reader(name, source, tasks, recipe.clip, augmentation, recipe.dims(), seed, table, test_clips=test_clips)


def table_of(rows: Iterable[Row]) -> pa.Table:
    """Rows as a table, which takes a tenth of what dictionaries would."""
    rows, parts = iter(rows), []
    while part := list(islice(rows, ROWS)):
        parts.append(pa.Table.from_pylist(part))
    return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})


def stack(rows: list[Columns]) -> Columns:
    """Flat rows -> columns, one new leading axis."""
    return {k: np.stack([r[k] for r in rows]) for k in rows[0]}
