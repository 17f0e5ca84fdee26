"""Source: reads one data set; lists rows, loads one row as a Sample."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from taskprompt.core.augment import Augment
from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Moment
from taskprompt.core.spec import Spec
from taskprompt.core.types import Row, Sample

if TYPE_CHECKING:
    from taskprompt.core.task import Task

Flag = Literal["empty", "refused", "repetitive", "truncated", "duplicate", "reasoning"]  # of an answer in a label table
ArrowTable = Any  # a pyarrow.Table: pyarrow has no types, and is not imported for a name


class Table(Spec):
    """A label table that a source joins. In a recipe it may be given by its folder only."""

    path: str  # folder of parquet files, written by `taskprompt label`
    drop: tuple[Flag, ...] = ()  # answers to drop: empty, refused, repetitive, truncated, duplicate, reasoning


def _table(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


Joined = Annotated[Table, BeforeValidator(_table, json_schema_input_type=str | Table)]


class Source(Spec):
    """Base class of sources."""

    home: ClassVar[str] = "taskprompt.sources"
    quota: int = Field(default=1, ge=1, le=1_000_000)  # samples of this source in every batch
    repeats: int = Field(
        default=1, ge=1, le=1_000_000
    )  # consecutive reads of each clip, with independent augmentation; counted in the quota
    only: tuple[str, ...] | None = None  # labels to keep; the others are dropped; null: all that its clips have
    allow_flip: bool = True  # whether clips may be flipped horizontally
    permute_labels: int | None = Field(
        default=None, ge=0
    )  # seed of a permutation of labels over clips (PViT's control); null: no permutation
    augment: Augment | None = None  # augmentation of its training clips; null: that of the recipe
    tables: tuple[Joined, ...] = ()  # label tables with more labels for its clips

    @abstractmethod
    def own_labels(self) -> tuple[str, ...]:
        """The names of the labels that its clips may have, label tables aside."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """List the samples without reading them, in a stable order; each row has a unique `key`."""

    @abstractmethod
    def load(self, row: Row, clip: ClipSpec, moment: Moment) -> Sample:
        """Load one row as a Sample: the part of its video given by `moment`, see `video.sampling.sample_times`.

        Pure: the same row, clip and moment give the same sample. The frames keep their size, or are scaled down,
        together with labels, if they are much larger than the clip. Raises SampleError if the row cannot be read."""

    def values(self, table: ArrowTable) -> Mapping[str, Counter[str]]:
        """label -> how many rows have each of its values, for labels that are contained in rows."""
        return {}

    def mistakes(self, table: ArrowTable, tasks: Mapping[str, "Task"]) -> Iterator[str]:
        """Errors of the source for these tasks, one line each, as far as they can be found without loading samples."""
        found = self.values(table)
        for name, task in tasks.items():
            label = task.label_name(name)
            for value, why in task.unlisted(found.get(label, ())).items():
                count = f"{found[label][value]} clip{'s' * (found[label][value] > 1)}"
                yield (
                    f"task {name!r}: {label} {why} Found in {count}. Add it to the task's `classes`, or exclude "
                    "these clips (`classes` of a folder)."
                )

    def why_missing(self, label: str) -> str:
        """Why it lacks a label that it could have, in a few words for the user; empty if it could not have it."""
        return ""

    def kept_labels(self) -> tuple[str, ...]:
        """Its own labels that `only` keeps; those of its tables are not among them."""
        return tuple(n for n in self.own_labels() if self.keeps(n))

    def keeps(self, label: str) -> bool:
        """Does `only` keep a label of this name?"""
        return self.only is None or label in self.only
