"""Results of `evaluate`, `predict`, `label` and `compare`: plain data with attributes, shown as tables."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from taskprompt.core.errors import TaskPromptError
from taskprompt.core.result import Result, html_table, text_table
from taskprompt.reporting.comparison_table import cells
from taskprompt.reporting.tables import evaluation_rows
from taskprompt.sweeps.comparison import Entry, compare_rows
from taskprompt.sweeps.run import SweepRun

HEAD = ("source", "task", "clips", "metric", "value", "95 % interval", "trivial")


class TaskResult(Result):
    """Results of one task on one held-out source; without clips, the dictionaries are empty."""

    __slots__ = ()
    kind: str  # the task's class
    clips: int  # number of evaluated clips
    metrics: dict[str, float]  # metric -> value
    interval: dict[str, Sequence[float]]  # metric -> low and high of its 95 % interval, where it is a mean over clips
    trivial: dict[str, float]  # the same metrics of a constant prediction; empty where the task has none
    trivial_name: str  # of that prediction, such as "majority class"
    measures: dict[str, dict[str, Any]]  # metric -> its unit, better, over and title, as Metric has them

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "TaskResult":
        """From the entry of an evaluation."""
        numbers = {name: found.get(name, {}) for name in ("metrics", "interval", "trivial", "measures")}
        return cls({**found, **numbers, "trivial_name": found.get("trivial_name", "")})


class SourceResult(Result):
    """Results of one held-out source."""

    __slots__ = ()
    rows: int  # clips that the source lists
    skipped: dict[str, str]  # key -> why the clip was skipped
    tasks: dict[str, TaskResult]  # task -> result


class Evaluation(Result):
    """The result of `evaluate`; the same as the run's evaluation.json."""

    __slots__ = ()
    checkpoint: str  # its name
    test_clips: int  # test clips per video, for tasks whose label is that of the whole video; 1: the middle
    sources: dict[str, SourceResult]  # held-out source -> result

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Evaluation":
        """From the content of an evaluation.json."""
        sources = {
            name: SourceResult({**part, "tasks": {task: TaskResult.of(t) for task, t in part["tasks"].items()}})
            for name, part in found["sources"].items()
        }
        return cls({**found, "sources": sources})

    def _title(self) -> str:
        clips = f", {self.test_clips} test clips per video" if self.test_clips > 1 else ""
        return f"Evaluation of {self.checkpoint}{clips}"

    def __repr__(self) -> str:
        return text_table(HEAD, evaluation_rows(self), self._title())

    def _repr_html_(self) -> str:
        return html_table(HEAD, evaluation_rows(self), self._title())


class Prediction(Result):
    """The result of `predict`; the same as the json file that it writes."""

    __slots__ = ()
    clip: str  # the video's path
    run: str  # the run's folder
    checkpoint: str  # its name
    times: list[float]  # seconds of the model's input frames
    answers: dict[str, Any]  # task -> result of Task.answer
    files: dict[str, str]  # 'json', and each task with pictures -> the file
    left_out: dict[str, str]  # task whose head did not run -> reason

    def _shown(self) -> tuple[Sequence[str], list[tuple[str, ...]], str]:
        tasks = [*self.answers, *(n for n in self.files if n not in self.answers and n != "json")]
        rows = [(n, _short(self.answers[n]) if n in self.answers else "", self.files.get(n, "")) for n in tasks]
        rows += [(n, f"left out: {why}", "") for n, why in self.left_out.items()]
        seconds = f", {self.times[0]:.2f} to {self.times[-1]:.2f} s" if self.times else ""
        title = f"Prediction of {self.clip}{seconds}, by {self.checkpoint}"
        return ("task", "answer", "file"), rows, title

    def __repr__(self) -> str:
        return text_table(*self._shown())

    def _repr_html_(self) -> str:
        return html_table(*self._shown())


class LabelCounts(Result):
    """Counts of one labeler; each key 'LABEL: FLAG' counts answers with a quality flag."""

    __slots__ = ()
    clips: int
    there: int  # labels that existed before
    made: int
    failed: int


class Labelling(Result):
    """labeler -> LabelCounts."""

    __slots__ = ()

    @classmethod
    def of(cls, found: Mapping[str, Mapping[str, int]]) -> "Labelling":
        """From counts; zeros may be omitted."""
        none = {"clips": 0, "there": 0, "made": 0, "failed": 0}
        return cls({name: LabelCounts({**none, **counts}) for name, counts in found.items()})

    def _repr_html_(self) -> str:
        head = ("labeler", "clips", "made", "found", "failed", "flags")
        rows = [
            (n, c.clips, c.made, c.there, c.failed, ", ".join(f"{k} {v}" for k, v in c.items() if ": " in k))
            for n, c in self.items()
        ]
        return html_table(head, rows, "Labels")


class Comparison(SweepRun):
    """The folder of a comparison: a sweep with a table of recipes."""

    def entries(self) -> list[Entry]:
        """The means of each recipe over seeds, from the trials that have ended."""
        return compare_rows(self.trials(), self.sweep.names)

    def _shown(self) -> tuple[Sequence[str], list[tuple[str, ...]], str]:
        entries, metric = self.entries(), self.metric
        value = f"{metric.title}{f' ({metric.symbol})' if metric.symbol else ''} {metric.arrow}".strip()
        head = ("recipe", "runs", value, f"over {entries[0].recipe}", "minutes per run")
        return head, cells(entries, metric, " ± "), f"Comparison by {self.sweep.metric}"

    def __repr__(self) -> str:
        try:
            return text_table(*self._shown())
        except (OSError, ValueError, KeyError, TaskPromptError):  # a missing or damaged folder
            return super().__repr__()

    def _repr_html_(self) -> str:
        try:
            return html_table(*self._shown())
        except (OSError, ValueError, KeyError, TaskPromptError):
            return super()._repr_html_()


def _short(answer: Any) -> str:
    """The answer as text if it is a list of labels, as for actions; else the beginning of its json."""
    if (
        isinstance(answer, list)
        and answer
        and all(isinstance(a, dict) and {"label", "confidence"} <= {*a} for a in answer)
    ):
        return ", ".join(f"{a['label']} {a['confidence']:.2f}" for a in answer[:3])
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
