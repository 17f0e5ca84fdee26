"""What runs on a labeling job's actors: the model is asked, and its answers are in the table before more is taken."""

import json
import time
import traceback
from typing import Any

import numpy as np

from taskprompt.core import errors, label_table
from taskprompt.core.errors import TaskPromptError
from taskprompt.core.labeler import Answer, Labeler, Question
from taskprompt.core.types import Clip, Row, Sample


class Asker:
    """An actor: rows that were read in, how many answers they gave out; the answers are in the table by then."""

    def __init__(self, labeler: Labeler, questions: tuple[Question, ...]):
        self.labeler, self.asked = labeler, {q.label: q.asked for q in questions}
        self.ask: Any = None  # built when something is asked, for a model takes long to load

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        stop = next((str(stop) for stop in batch["stop"] if stop), "")
        try:
            found = self._answer(batch) if not stop else {}
        except Exception as error:
            found, stop = {}, stop_of(error)
        nothing = np.zeros(len(batch["key"]), np.int64)
        counts = {name: found.get(name, nothing) for name in ("made", "failed", "there", "tokens")}
        return counts | {"stop": np.asarray([stop] * len(nothing)), "ended": nothing + time.time()}

    def _answer(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        wanted = [json.loads(str(row["asked"])) for row in rows]
        todo = [i for i, row in enumerate(rows) if wanted[i] and not row["error"]]
        answers: list[dict[str, Answer]] = [
            {n: Answer(error=str(row["error"])) for n in w} for row, w in zip(rows, wanted, strict=True)
        ]
        if todo:
            self.ask = self.ask or self.labeler.build()
            found = self.ask([_sample(rows[i]) for i in todo], [list(wanted[i]) for i in todo])
            for i, answer in zip(todo, found, strict=True):
                answers[i] = answer
        records = [
            label_table.record(
                str(row["key"]),
                name,
                answer.value,
                address=wanted[i][name],
                asked=json.dumps(self.asked[name], sort_keys=True),
                used=json.dumps(answer.used or {}),
                error=answer.error,
                time=time.time(),
            )
            for i, row in enumerate(rows)
            for name, answer in answers[i].items()
        ]
        if records:
            label_table.append(self.labeler.table, records)
        made = np.asarray([sum(not a.error for a in found.values()) for found in answers])
        failed = np.asarray([sum(bool(a.error) for a in found.values()) for found in answers])
        tokens = np.asarray([sum((a.used or {}).get("tokens", 0) for a in found.values()) for found in answers])
        return {"made": made, "failed": failed, "there": len(self.asked) - made - failed, "tokens": tokens}


def _sample(row: Row) -> Sample:
    shape = tuple(int(n) for n in row["shape"])
    video = np.frombuffer(row["frames"], np.uint8).reshape(shape) if row["frames"] else np.zeros((0, 1, 1, 3), np.uint8)
    return Sample(str(row["key"]), Clip(video, np.asarray(row["times"], np.float64)), json.loads(str(row["labels"])))


def stop_of(error: Exception) -> str:
    """An error that ends the job, as data: Ray Data keeps its traceback's text alone."""
    if isinstance(error, TaskPromptError):
        return json.dumps([type(error).__name__, str(error)])
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = (
        f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno}). Fix the labeler's or source's code."
    )
    return json.dumps(["TaskError", text])


def stopped(stop: str) -> TaskPromptError:
    """The error in it."""
    name, text = json.loads(stop)
    return getattr(errors, name, TaskPromptError)(text)
