"""SweepRun: the folder of one sweep: its specification, the journal of all events, and results."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.core.files import append, flush, remove_drafts, write, writing
from taskprompt.core.metrics import Metric, from_record
from taskprompt.recipe.files import dump
from taskprompt.recipe.recipe import Recipe
from taskprompt.runs.lock import check_one, clear, contents, driver_locked
from taskprompt.runs.place import is_uri
from taskprompt.runs.records import MetricRecord, checked
from taskprompt.runs.run import Run
from taskprompt.sweeps.shown import sweep_html, sweep_text
from taskprompt.sweeps.sweep import Sweep, load_bases, vary
from taskprompt.sweeps.trials import TrialRow, best, follow, result

MAY_CHANGE = {"recipe", "trials", "concurrent", "minutes"}  # recipes are compared by content, not by path

THEN = "then continue with --resume."


@dataclass(frozen=True)
class SweepRun:
    """A folder on disk; everything is read from it on access."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """An existing sweep. Raises CheckpointError if the folder is not one."""
        path = Path(path).absolute()
        if not (path / "sweep.yaml").is_file():
            raise CheckpointError(f"{path}: is not a sweep: it has no sweep.yaml. Give the folder of `tune --out`.")
        return cls(path)

    @classmethod
    @contextmanager
    def held(cls, path: str | Path) -> Iterator[None]:
        """Lock a sweep's folder against other jobs, from before `start` to the end. Raises CheckpointError."""
        path = cls._folder(path)
        cls._check_ours(path)
        with driver_locked(path):
            yield

    @staticmethod
    def _folder(path: str | Path) -> Path:
        if is_uri(path):
            raise CheckpointError(
                f"{path}: a sweep must be in a local folder, not in remote storage. Give --out a path."
            )
        return Path(path).absolute()

    @staticmethod
    def _check_ours(path: Path) -> None:
        if (found := contents(path)) and not any(p.name == "sweep.yaml" for p in found):
            raise CheckpointError(f"{path}: is not empty and holds no sweep. Choose another folder for --out.")

    @classmethod
    def start(cls, path: str | Path, sweep: Sweep, *, resume: bool = False, fresh: bool = False) -> "SweepRun":
        """A new sweep's folder, or an old one to resume. Never mixes two sweeps. Raises CheckpointError."""
        check_one(resume, fresh)
        run = cls(cls._folder(path))
        cls._check_ours(run.path)
        bases, exists = load_bases(sweep), (run.path / "sweep.yaml").exists()
        metric = judged_by(sweep, bases)
        sweep = sweep.model_copy(update={"mode": metric.better})
        if exists and fresh:
            clear(run.path)
        elif exists and not resume:
            raise CheckpointError(
                f"{run.path}: holds a sweep already. Add --resume to continue it, or --fresh to replace it."
            )
        elif exists:
            run._check_same(sweep, bases)
        with writing(run.path, "Choose another folder for --out."):
            (run.path / "trials").mkdir(parents=True, exist_ok=True)
            (run.path / "recipes").mkdir(exist_ok=True)
        remove_drafts(run.path)
        for name, base in bases.items():
            run._write(f"recipes/{name}.yaml", dump(base))
        run._write("metric.json", json.dumps(metric.record(), indent=1))
        files = tuple(f"recipes/{name}.yaml" for name in bases)
        run._write("sweep.yaml", sweep.model_copy(update={"recipe": files}).text())
        return run

    def _check_same(self, sweep: Sweep, bases: Mapping[str, Recipe]) -> None:
        before, begun = load_bases(self.sweep), len(self.trials())
        old, new = self.sweep.model_dump(mode="json"), sweep.model_dump(mode="json")
        changed = [name for name in old if name not in MAY_CHANGE and old[name] != new[name]]
        if sweep.searcher == self.sweep.searcher == "grid":  # which may grow, since trials do not depend on their order
            grid = sweep.combinations()
            changed = [c for c in changed if c != "search" or any(v not in grid for v in self.sweep.combinations())]
            changed += ["recipe"] if any(bases.get(name) != base for name, base in before.items()) else []
        else:
            changed += ["recipe"] if before != bases else []
        if changed:
            raise CheckpointError(
                f"{self.path}: holds another sweep; these differ: {', '.join(changed)}. "
                "Resume with its own sweep.yaml, or choose another folder for --out."
            )
        if new["trials"] is not None and new["trials"] < begun:
            raise CheckpointError(f"{self.path}: has started {begun} trials. Set trials to at least {begun}.")

    def __repr__(self) -> str:
        return sweep_text(self)

    def _repr_html_(self) -> str:
        return sweep_html(self)

    @property
    def sweep(self) -> Sweep:
        return Sweep.load(self.path / "sweep.yaml")

    @property
    def metric(self) -> Metric:
        """The metric that ranks trials, as declared by its task when the sweep started; `better` is the sweep's mode.

        Raises CheckpointError."""
        path, sweep = self.path / "metric.json", self.sweep
        try:
            found = checked(path.read_bytes(), MetricRecord)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}. Resume the sweep, which writes it.") from None
        return from_record(sweep.metric.split("/", 2)[2], found).with_mode(sweep.mode)

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    def recipe(self, values: dict[str, Any]) -> Recipe:
        """The recipe of the trial with these values."""
        return vary(load_bases(self.sweep), self.sweep, values)

    def run(self, trial: TrialRow) -> Run:
        """A trial's run."""
        return Run(self.path / "trials" / trial.name)

    def journal(self) -> list[dict[str, Any]]:
        """All events in order. An incomplete last line is ignored."""
        return Run(self.path).lines("journal.jsonl")

    def note(self, event: dict[str, Any]) -> None:
        """Append an event, flushed to disk. Raises WriteError."""
        append(self.path / "journal.jsonl", json.dumps(event) + "\n", THEN)
        flush(self.path / "journal.jsonl")

    def drop_incomplete_line(self) -> None:
        """Remove an incomplete last line of the journal, left by a crash, so that the next event starts a new line."""
        if (self.path / "journal.jsonl").exists():
            self._write("journal.jsonl", "".join(json.dumps(e) + "\n" for e in self.journal()))

    def trials(self) -> list[TrialRow]:
        """The trials that have started, from the journal."""
        rows: list[TrialRow] = []
        for event in self.journal():
            follow(rows, event)
        axes = set(self.sweep.axes) if rows else set()
        for row in rows:
            if set(row.values) != axes:
                raise CheckpointError(f"{self.path}: journal.jsonl: trial {row.number} does not belong to this sweep.")
        return rows

    def best(self) -> TrialRow | None:
        """The best trial so far; see `best`."""
        return best(self.trials(), self.sweep)

    def write_results(self, rows: list[TrialRow], sweep: Sweep) -> None:
        """Write results.json, results.csv, and best.yaml once there is a best trial."""
        found = best(rows, sweep)
        table = [result(row, sweep) for row in rows]
        shown = {"metric": sweep.metric, "mode": sweep.mode, "best": found and found.number, "trials": table}
        self._write("results.json", json.dumps(shown, indent=1))
        file = io.StringIO(newline="")
        head = ["trial", *sweep.axes, "state", "last", "best", "best_step", "steps", "seconds", "error"]
        writer = csv.DictWriter(file, head, extrasaction="ignore")
        writer.writeheader()
        for line in table:
            values = {k: v if isinstance(v, int | float | str) else json.dumps(v) for k, v in line["values"].items()}
            writer.writerow({**line, **values})
        self._write("results.csv", file.getvalue())
        if found is not None and found.last is not None:
            head = (
                f"# The best of {len(rows)} trials of the sweep {self.path.name}: "
                f"trial {found.name}, which is {found.state}.\n"
                f"# {sweep.metric}: {found.last:.6g} at step {found.steps[-1]}, with {json.dumps(found.values)}.\n"
            )
            self._write("best.yaml", head + dump(self.recipe(found.values)))

    def _write(self, name: str, text: str) -> None:
        write(self.path / name, text, THEN)


def judged_by(sweep: Sweep, bases: Mapping[str, Recipe]) -> Metric:
    """The metric of a sweep, as declared by its task; `better` is the sweep's mode, if it is set.

    Raises SpecError if neither gives the better direction; RecipeError."""
    metric = vary(bases, sweep, {}).metric(sweep.metric).with_mode(sweep.mode)
    if metric.better is None:
        raise SpecError(f"mode: nothing says which way {sweep.metric!r} is better. Set mode to max or min.")
    return metric
