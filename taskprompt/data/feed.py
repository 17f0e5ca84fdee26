"""Feed: batches from all sources; positions of the streams, skipped clips, and the clips of each step."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from taskprompt.core.task import Task
from taskprompt.core.types import Batch, Columns
from taskprompt.data.batch import collate
from taskprompt.data.order import FROM_THE_START, IndexSequence
from taskprompt.data.reader import Reader, make_reader
from taskprompt.data.stream import Stream
from taskprompt.distributed import collective
from taskprompt.distributed.context import WorkerContext
from taskprompt.recipe.recipe import Recipe, Stage


class StreamPosition(NamedTuple):
    """Position of a source's stream: the sequence that it reads, and every worker's next index in it."""

    sequence: IndexSequence = FROM_THE_START
    cursors: tuple[int, ...] = ()

    def among(self, workers: int) -> "StreamPosition":
        """The same for another number of workers: the remaining positions are redistributed."""
        if len(self.cursors) == workers:
            return self
        sequence = self.sequence.after(self.cursors) if self.cursors else self.sequence
        return StreamPosition(sequence, tuple(range(workers)))


class Feed:
    """One worker's share of all sources."""

    def __init__(self, recipe: Recipe, context: WorkerContext):
        self.recipe, self.context = recipe, context
        self.readers: dict[str, Reader] = {
            n: make_reader(recipe, n, s, training=True) for n, s in recipe.sources.items()
        }
        self.positions = {n: StreamPosition().among(context.workers) for n in recipe.sources}
        self.streams: dict[str, Stream] = {}
        self.taken: dict[str, list[str]] = {}  # source -> keys of the clips since the last `take_record`

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        for name, position in saved.items():
            sequence = IndexSequence(tuple(position["left"]), position["start"])
            self.positions[name] = StreamPosition(sequence, tuple(position["cursors"])).among(self.context.workers)

    def state(self) -> dict[str, Any]:
        """The state for `restore`, of all workers; the same on every worker. A collective call."""
        mine = {
            n: self.streams[n].cursor if n in self.streams else p.cursors[self.context.rank]
            for n, p in self.positions.items()
        }
        everyone = collective.gather(mine)
        return {
            n: {"left": p.sequence.left, "start": p.sequence.start, "cursors": [cursors[n] for cursors in everyone]}
            for n, p in self.positions.items()
        }

    def batches(self, stage: Stage, tasks: Mapping[str, Task]) -> Iterator[Batch]:
        """Endless batches, from the current positions of the sources."""
        sources = self.recipe.stage_sources(stage)
        quotas = {n: s.quota // self.context.workers for n, s in sources.items()}  # every quota is divisible
        for name in quotas:
            self._open(name)
        while True:
            parts = {n: self.streams[n].take(q) for n, q in quotas.items()}
            whole = {n: p for n, p in parts.items() if p is not None}
            self._record(whole)
            yield collate(list(whole.values()), tasks)

    def _open(self, name: str) -> None:
        """Open a source's stream at its current position, in place of that of an earlier stage."""
        position, workers, rank = self.positions[name], self.context.workers, self.context.rank
        start = self.streams[name].cursor if name in self.streams else position.cursors[rank]
        reader = self.readers[name].following(position.sequence)
        chunks = self.context.chunks(reader, start, workers, None)
        skipped = self.streams[name].skipped if name in self.streams else {}
        self.streams[name] = Stream(name, chunks, start, workers, len(reader), self.recipe.max_skipped)
        self.streams[name].skipped |= skipped

    def _record(self, parts: Mapping[str, Columns]) -> None:
        if self.recipe.record_clips:
            for name, columns in parts.items():
                self.taken.setdefault(name, []).extend(str(k) for k in columns["key"])

    def take_record(self) -> dict[str, list[str]]:
        """source -> keys of the clips since the last call, if the recipe records them."""
        taken, self.taken = self.taken, {}
        return taken

    def skipped(self) -> dict[str, dict[str, str]]:
        """source -> key -> reason, of this worker."""
        return {n: s.skipped for n, s in self.streams.items()}
