"""Facts of a run for its page: sources, duration, skipped clips, and versions."""

import platform
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from taskprompt.core.model import MultiTaskModel
from taskprompt.core.source import Source
from taskprompt.core.spec import kind_of
from taskprompt.recipe.recipe import Recipe, Stage
from taskprompt.runs import checkpoint
from taskprompt.runs.run import Run

PACKAGES = ("taskprompt", "torch", "torchvision", "ray", "optuna", "torchmetrics", "numpy", "av", "mujoco-core")


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One line of the table of sources."""

    name: str
    kind: str
    quota: int  # clips per batch; 0: held out
    tasks: tuple[str, ...]  # for which it has labels


@dataclass(frozen=True, slots=True)
class Speed:
    """Progress and speed of a run."""

    steps: int
    planned: int
    finished: datetime | None  # of the newest checkpoint
    clips: int  # trained on, counting repetitions
    clips_per_s: float

    @property
    def took(self) -> str:
        """Duration: all clips at the measured speed, also for a resumed run."""
        if not self.clips_per_s:  # a single step has no measured speed
            return "an unknown time"
        seconds = round(self.clips / self.clips_per_s)
        hours, minutes = seconds // 3600, seconds % 3600 // 60
        if hours:
            return f"{hours} h {minutes} min"
        return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


@dataclass(frozen=True, slots=True)
class Skips:
    """The clips of one source that were skipped for one reason."""

    source: str
    reason: str
    keys: tuple[str, ...]


def source_facts(recipe: Recipe) -> list[SourceFacts]:
    """The training sources of a run, then its held-out sources."""

    def facts(name: str, source: Source, quota: int) -> SourceFacts:
        return SourceFacts(name, kind_of(type(source)), quota, tuple(recipe.measured(name, source)))

    used = {n for stage in recipe.stages for n in recipe.stage_sources(stage)}
    trained = [facts(n, s, s.quota) for n, s in recipe.sources.items() if n in used]
    return trained + [facts(n, s, 0) for n, s in recipe.held_out.items()]


def speed(run: Run, recipe: Recipe) -> Speed | None:
    """Progress and speed from metrics.jsonl; None before the first step."""
    records = run.lines("metrics.jsonl")
    if not records:
        return None
    steps, left, clips = records[-1]["step"], records[-1]["step"], 0
    for stage in recipe.stages:
        done = min(left, stage.steps)
        clips += done * clips_a_step(recipe, stage)
        left -= done
    newest = checkpoint.latest(run.checkpoints)
    finished = datetime.fromtimestamp(newest.stat().st_mtime) if newest else None
    planned = sum(s.steps for s in recipe.stages)
    return Speed(steps, planned, finished, clips, records[-1]["clips_per_s"])


def clips_a_step(recipe: Recipe, stage: Stage) -> int:
    """Clips per optimizer step of a stage."""
    return stage.accumulate * sum(s.quota for s in recipe.stage_sources(stage).values())


def parameters(model: MultiTaskModel, learned: Container[str]) -> tuple[int, int]:
    """(parameters with the heads of learned tasks, parameters without any heads)."""
    parts = [(name.split("."), p.numel()) for name, p in model.named_parameters()]
    kept = sum(size for (part, *_), size in parts if part != "heads")
    return kept + sum(size for (part, name, *_), size in parts if part == "heads" and name in learned), kept


def short(number: float) -> str:
    """38200000 -> '38.2 M'."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}\u00a0{letter}"
    return f"{number:g}"


def unmeasured(evaluation: Mapping[str, Any]) -> list[str]:
    """One line for each task without labels in an evaluation."""
    return [
        f"task {task!r} is not measured on {source!r}: no clip there has its label."
        for source, part in evaluation["sources"].items()
        for task, numbers in part["tasks"].items()
        if not numbers["clips"]
    ]


def skips(run: Run | None, evaluation: Mapping[str, Any] | None) -> list[Skips]:
    """Skipped clips of training and of an evaluation, grouped by source and reason, largest group first."""
    lines = run.lines("skipped.jsonl") if run else []
    records = [(r["source"], r["key"], r["reason"]) for r in lines]
    for source, part in (evaluation or {"sources": {}})["sources"].items():
        records += [(source, key, reason) for key, reason in part["skipped"].items()]
    return grouped(records)


def grouped(records: Iterable[tuple[str, str, str]]) -> list[Skips]:
    """(source, key, reason) -> groups whose reasons differ only in file names and numbers."""
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for source, key, reason in records:
        groups.setdefault((source, alike(key, reason)), {})[key] = reason
    found = [
        Skips(source, next(iter(keys.values())) if len(keys) == 1 else same, tuple(keys))
        for (source, same), keys in groups.items()
    ]
    return sorted(found, key=lambda s: -len(s.keys))


def alike(key: str, reason: str) -> str:
    """A reason without the file or key that it starts with, and without numbers."""
    head, colon, tail = reason.partition(": ")
    text = tail if colon and ("/" in head or "\\" in head or head.endswith(key)) else reason
    text = re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", "…", text)
    return re.sub(r"\d+(\.\d+)?", "…", text)


def versions() -> dict[str, str]:
    """The installed versions of Python and of relevant packages."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
