"""The actor of a labeling job: it asks the model, and writes its answers to the table before it takes more clips."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from taskprompt.core.errors import ErrorRecord
from taskprompt.core.labeler import Answer, Ask, Given, Labeler, Question, as_they_come
from taskprompt.core.text import one_line
from taskprompt.core.types import Clip, Row, Sample
from taskprompt.labels import table as label_table


class LabelActor:
    """An actor: rows in, numbers of answers out; the answers are already in the table."""

    def __init__(self, labeler: Labeler, questions: tuple[Question, ...]):
        self.labeler, self.asked = labeler, {q.label: q.asked for q in questions}
        self.ask: Ask | None = None  # built on first use, since loading a model takes long

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        stop = next((str(stop) for stop in batch["stop"] if stop), "")
        try:
            found = self._answer(batch) if not stop else {}
        except Exception as error:
            found, stop = {}, ErrorRecord.of(error).dumps()
        nothing = np.zeros(len(batch["key"]), np.int64)
        counts = {name: found.get(name, nothing) for name in ("made", "failed", "there", "tokens")}
        return counts | {"stop": np.asarray([stop] * len(nothing)), "ended": nothing + time.time()}

    def _answer(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        wanted = [json.loads(str(row["asked"])) for row in rows]
        written = Written(self.labeler.table)
        answers: list[dict[str, Answer]] = [{} for _ in rows]
        try:
            for given in self._given(rows, wanted):
                written.add([self._record(rows[i], n, answer, wanted[i][n]) for i, n, answer in given])
                for i, name, answer in given:
                    answers[i][name] = answer
        finally:
            written.join()
        made = np.asarray([sum(not a.error for a in found.values()) for found in answers])
        failed = np.asarray([sum(bool(a.error) for a in found.values()) for found in answers])
        tokens = np.asarray([sum((a.used or {}).get("tokens", 0) for a in found.values()) for found in answers])
        return {"made": made, "failed": failed, "there": len(self.asked) - made - failed, "tokens": tokens}

    def _given(self, rows: list[Row], wanted: list[dict[str, str]]) -> Iterator[list[Given]]:
        """Answers in order of arrival; first those of clips that could not be read."""
        errors = {i: one_line(ErrorRecord.loads(str(row["error"])).text) for i, row in enumerate(rows) if row["error"]}
        yield [(i, n, Answer(error=error)) for i, error in errors.items() for n in wanted[i]]
        todo = [i for i, row in enumerate(rows) if wanted[i] and not row["error"]]
        if todo:
            self.ask = self.ask or self.labeler.build()
            labels = [list(wanted[i]) for i in todo]
            for given in as_they_come(self.ask, [_sample(rows[i]) for i in todo], labels):
                yield [(todo[i], name, answer) for i, name, answer in given]

    def _record(self, row: Row, label: str, answer: Answer, address: str) -> label_table.Record:
        return label_table.record(
            str(row["key"]),
            label,
            answer.value,
            address=address,
            asked=json.dumps(self.asked[label], sort_keys=True),
            used=json.dumps(answer.used or {}),
            error=answer.error,
            time=time.time(),
        )


class Written:
    """The answers of one batch: one file for each part, merged into one file at the end."""

    def __init__(self, table: str):
        self.table = table
        self.records: list[label_table.Record] = []
        self.files: set[Path] = set()

    def add(self, records: list[label_table.Record]) -> None:
        """Write records to the table."""
        if records:
            self.files.add(label_table.append(self.table, records))
            self.records += records

    def join(self) -> None:
        """Merge the files into one, which is written before they are deleted: a table may have millions of answers."""
        if len(self.files) > 1:
            for file in self.files - {label_table.append(self.table, self.records)}:
                file.unlink(missing_ok=True)


def _sample(row: Row) -> Sample:
    shape = tuple(int(n) for n in row["shape"])
    video = np.frombuffer(row["frames"], np.uint8).reshape(shape) if row["frames"] else np.zeros((0, 1, 1, 3), np.uint8)
    return Sample(str(row["key"]), Clip(video, np.asarray(row["times"], np.float64)), json.loads(str(row["labels"])))
