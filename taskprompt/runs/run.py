"""Run: the folder of one training run: recipe, checkpoints, metrics, skipped clips and results."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskprompt.core.errors import CheckpointError
from taskprompt.core.files import ELSEWHERE, append, check_writable, parse_json, remove_drafts, write, writing
from taskprompt.core.model import MultiTaskModel
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import dump, read
from taskprompt.recipe.recipe import Recipe
from taskprompt.runs import checkpoint
from taskprompt.runs.lock import check_one, clear, contents, driver_locked, logged
from taskprompt.runs.place import check_is_run, is_uri
from taskprompt.runs.records import LINES, read_lines
from taskprompt.runs.resume import prepare_resume
from taskprompt.runs.shown import run_html, run_text
from taskprompt.runs.storage import Copy

THEN = "then continue with --resume"


@dataclass(frozen=True)
class Run:
    """A folder on disk; everything is read from it on access."""

    path: Path
    which: str = "last"  # the selected checkpoint: last, best, or a name such as step-00000100
    copy: Copy | None = None  # if `path` is a local copy of a run in remote storage
    told: tuple[str, ...] = ()  # messages about resuming
    done: bool = False  # it was resumed with nothing left to train

    @classmethod
    def open(cls, place: str | Path, which: str = "last") -> "Run":
        """An existing run, in a folder or at a URI such as s3://bucket/run. Raises CheckpointError."""
        run = cls._at(place, which)
        check_is_run(run.path, run.place)
        return run

    @classmethod
    def _at(cls, place: str | Path, which: str = "last") -> "Run":
        place = str(place).removeprefix("file://")
        if not is_uri(place):
            return cls(Path(place).absolute(), which)
        copy = Copy(place)
        return cls(copy.path, which, copy)

    def __repr__(self) -> str:
        return run_text(self)

    def _repr_html_(self) -> str:
        return run_html(self)

    @property
    def place(self) -> str:
        """The folder or the URI of the run."""
        return self.copy.uri if self.copy else str(self.path)

    def push(self) -> None:
        """Upload new files, if the run is in remote storage."""
        if self.copy:
            self.copy.push()

    def push_files(self, names: list[str]) -> None:
        """Upload only these files, from a worker other than worker 0."""
        if self.copy:
            self.copy.push_files(names)

    def pull(self) -> None:
        """Download files that others have written, if the run is in remote storage."""
        if self.copy:
            self.copy.pull()

    @classmethod
    @contextmanager
    def start(cls, place: str | Path, recipe: Recipe, *, resume: bool = False, fresh: bool = False) -> Iterator["Run"]:
        """A new run's folder, or an old one to resume, locked against other jobs: `with Run.start(...) as run:`.

        Its contents are read only after it is locked. Raises CheckpointError if the folder holds another run, or this
        one with another recipe; WriteError if it cannot be written."""
        check_one(resume, fresh)
        run = cls._at(place)
        run._check_ours()
        with driver_locked(run.path):
            run._check_ours()
            # A run without any step (for example because the cluster was not found) may be started again.
            begun = (run.path / "recipe.yaml").exists() and (
                (run.path / "metrics.jsonl").exists() or checkpoint.latest(run.checkpoints) is not None
            )
            if begun and fresh:
                clear(run.path)
                run.push()
                begun = False
            elif begun and not resume:
                raise CheckpointError(
                    f"{run.place}: holds a run already. Add --resume to continue it, or --fresh to replace it."
                )
            elif begun:
                run = run._resumed(recipe)
            elif resume:
                run = replace(run, told=(f"{run.place} holds no run to resume: a new one begins.",))
            file = run.path / "recipe.yaml"
            if not begun or read(file) != recipe.model_dump(mode="json"):
                write(file, dump(recipe), "Choose another folder for --out.")
            with writing(run.place):
                run.checkpoints.mkdir(exist_ok=True)
            checkpoint.remove_drafts(run.checkpoints)
            remove_drafts(run.path)
            run.push()
            yield run

    def _check_ours(self) -> None:
        if (found := contents(self.path)) and not any(p.name == "recipe.yaml" for p in found):
            raise CheckpointError(f"{self.place}: is not empty and holds no run. Choose another folder for --out.")

    def _resumed(self, recipe: Recipe) -> "Run":
        for name in LINES:
            self.lines(name)  # a damaged line is reported before anything is changed
        fetch = self.copy.pull_checkpoint if self.copy else lambda name: None
        step, told = prepare_resume(self.path, recipe, fetch)
        for text in told:
            self.append("warnings.jsonl", {"step": step, "text": text})
            with logged(self.path, 0) as log:
                log.warning("step %d: %s", step, text)
        planned = sum(stage.steps for stage in recipe.stages)
        if done := step >= planned:
            told.append(f"Nothing is left to train: {step} of {planned} steps are done. Add steps, or append a stage.")
        return replace(self, told=tuple(told), done=done)

    @property
    def recipe(self) -> Recipe:
        return Recipe.load(self.path / "recipe.yaml")

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    def newest(self) -> Path:
        """The newest checkpoint, to resume from. Raises CheckpointError if there is none."""
        return replace(self, which="last").checkpoint()

    def checkpoint(self) -> Path:
        """The checkpoint selected by `which`. Raises CheckpointError if there is none."""
        found = checkpoint.complete(self.checkpoints)
        if not found:
            raise CheckpointError(
                f"{self.place}: has no checkpoint yet. Run `taskprompt fit` until its first checkpoint."
            )
        if self.which == "best":
            best = self.recipe.ranking()
            ranked = checkpoint.ranked(found, best) if best else []
            if not ranked:
                raise CheckpointError(
                    f"{self.place}: has no best checkpoint. Set `best` in the recipe before "
                    "training, or choose a checkpoint by name or as 'last'."
                )
            found = ranked[:1]
        elif self.which != "last":
            names = [p.name for p in found]
            if self.which not in names:
                raise CheckpointError(
                    f"{self.place}: has no checkpoint {self.which!r}. Known: last, best, {', '.join(names)}."
                )
            found = [self.checkpoints / self.which]
        if self.copy:
            self.copy.pull_checkpoint(found[-1].name)
        return found[-1]

    def model(self) -> MultiTaskModel:
        """The trained model in eval mode, on the CPU; with averaged weights if the stage kept them."""
        recipe, path = self.recipe, self.checkpoint()
        model = build_model(recipe)
        group = "ema" if (path / "ema.safetensors").exists() else "model"
        checkpoint.load_weights(model, checkpoint.read_tensors(path, group), str(path))
        return model.eval()

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Append one json line to a file of the run, atomically. Raises WriteError."""
        append(self.path / name, json.dumps(record) + "\n", f"{THEN}{self._from_newest()}.")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The json lines of a file of the run; empty if it does not exist. An incomplete last line is ignored. Raises
        CheckpointError for any other damaged line."""
        return read_lines(self.path / name)

    def cut(self, step: int) -> None:
        """Drop the lines after a step, which a resumed run writes again, and incomplete last lines."""
        for name in LINES:
            if (path := self.path / name).exists():
                kept = [json.dumps(r) + "\n" for r in self.lines(name) if r.get("step", 0) <= step]
                write(path, "".join(kept), THEN + self._from_newest() + ".")

    def write(self, name: str, data: Any) -> Path:
        """Write a json file of the run, atomically. Raises WriteError."""
        return write(self.path / name, json.dumps(data, indent=1))

    def read(self, name: str) -> Any:
        """Read a json file of the run; None if it does not exist. Raises CheckpointError if it is not valid json."""
        path = self.path / name
        try:
            return parse_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}. Remove it.") from None

    def _from_newest(self) -> str:
        newest = checkpoint.latest(self.checkpoints)
        return f" from {newest.name}" if newest else ""

    @contextmanager
    def results_in(self, out: str | Path | None) -> Iterator[Path]:
        """The folder for evaluation.json and report.html: `out`, or this run's. Raises WriteError at once if it is not
        writable; written files are uploaded if the run is in remote storage."""
        folder = self.path if out is None else Path(out).absolute()
        check_writable(folder, ELSEWHERE)
        yield folder
        if out is None:
            self.push()

    def how_to_go_on(self) -> str:
        """The path of the newest checkpoint, and the command to resume from it, in one line."""
        newest, place = checkpoint.latest(self.checkpoints), shlex.quote(self.place)
        where = f"the newest checkpoint is {self.place}/checkpoints/{newest.name}" if newest else "none is saved yet"
        recipe = "RECIPE" if self.copy else f"{place}/recipe.yaml"
        return f"{where}. Resume with: taskprompt fit {recipe} --out {place} --resume"
