"""Run: the folder of one training: its recipe, checkpoints, metrics, what was skipped, and what came of it."""

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
from taskprompt.runs.lock import check_one, clear, contents, driven, logged
from taskprompt.runs.records import LINES, read_lines
from taskprompt.runs.resume import take_up
from taskprompt.runs.shown import run_html, run_text
from taskprompt.runs.storage import Copy, is_uri

HOW = "Free some room there, then go on with --resume"


@dataclass(frozen=True)
class Run:
    """A folder on disk; everything is read from it when asked for."""

    path: Path
    which: str = "last"  # the checkpoint whose weights are meant: last, best, or a name such as step-00000100
    copy: Copy | None = None  # where `path` is but a working copy of a run kept in a storage
    told: tuple[str, ...] = ()  # what a person should know of how it was gone on with, a line each
    done: bool = False  # it was to be gone on with, and nothing was left to train

    @classmethod
    def open(cls, place: str | Path, which: str = "last") -> "Run":
        """An existing run, in a folder or at an address such as s3://bucket/run. Raises CheckpointError."""
        run = cls._at(place, which)
        if run.path.suffix in (".yaml", ".yml") and run.path.is_file():
            raise CheckpointError(f"{run.place}: this is a recipe, expected the folder of a run: train it with fit.")
        if not (run.path / "recipe.yaml").is_file():
            raise CheckpointError(
                f"{run.place}: is not a run: it has no recipe.yaml. Give the folder that `fit --out` wrote."
            )
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
        """The folder or the address that the run is known by."""
        return self.copy.uri if self.copy else str(self.path)

    def push(self) -> None:
        """Send what is new to the storage, if the run is kept in one."""
        if self.copy:
            self.copy.push()

    def push_files(self, names: list[str]) -> None:
        """Send a few files alone, from a worker other than the first."""
        if self.copy:
            self.copy.push_files(names)

    def pull(self) -> None:
        """Take what others have written, if the run is kept in a storage."""
        if self.copy:
            self.copy.pull()

    @classmethod
    @contextmanager
    def start(cls, place: str | Path, recipe: Recipe, *, resume: bool = False, fresh: bool = False) -> Iterator["Run"]:
        """A new run's folder, or the old one to go on with, held against other jobs: `with Run.start(...) as run:`.

        Nothing is decided before it is held. Raises CheckpointError where the folder holds another run, or this one
        trained with another recipe; WriteError where it cannot be written."""
        check_one(resume, fresh)
        run = cls._at(place)
        run._check_ours()
        with driven(run.path):
            run._check_ours()
            # A run that never made a step (no such cluster, say) may simply be started again.
            begun = (run.path / "recipe.yaml").exists() and (
                (run.path / "metrics.jsonl").exists() or checkpoint.latest(run.checkpoints) is not None
            )
            if begun and fresh:
                clear(run.path)
                run.push()
                begun = False
            elif begun and not resume:
                raise CheckpointError(
                    f"{run.place}: holds a run already. Add --resume to go on with it, or --fresh to replace it."
                )
            elif begun:
                run = run._resumed(recipe)
            elif resume:
                run = replace(run, told=(f"{run.place} holds no run to go on with: a new one begins.",))
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
        fetch = self.copy.pull_checkpoint if self.copy else lambda name: None
        step, told = take_up(self.path, recipe, fetch)
        for text in told:
            self.append("warnings.jsonl", {"step": step, "text": text})
            with logged(self.path, 0) as log:
                log.warning("step %d: %s", step, text)
        planned = sum(stage.steps for stage in recipe.stages)
        if done := step >= planned:
            told.append(f"Nothing is left to train: {step} of {planned} steps are made. Give more, or append a stage.")
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
        """The newest checkpoint, from which training goes on. Raises CheckpointError where there is none."""
        return replace(self, which="last").checkpoint()

    def checkpoint(self) -> Path:
        """The checkpoint meant by `which`. Raises CheckpointError where there is none."""
        found = checkpoint.complete(self.checkpoints)
        if not found:
            raise CheckpointError(f"{self.place}: has no checkpoint yet. Run `taskprompt fit` to its first save.")
        if self.which == "best":
            best = self.recipe.ranking()
            ranked = checkpoint.ranked(found, best) if best else []
            if not ranked:
                raise CheckpointError(
                    f"{self.place}: no checkpoint is known as the best. Set `best` in the recipe before it is "
                    "trained, or choose one by name or as 'last'."
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
        """The trained model in eval mode, on the CPU: averaged weights where the stage kept them."""
        recipe, path = self.recipe, self.checkpoint()
        model = build_model(recipe)
        group = "ema" if (path / "ema.safetensors").exists() else "model"
        checkpoint.load_weights(model, checkpoint.read_tensors(path, group), str(path))
        return model.eval()

    def append(self, name: str, record: dict[str, Any]) -> None:
        """One json line to a file of the run, whole or not at all. Raises WriteError."""
        append(self.path / name, json.dumps(record) + "\n", f"{HOW}{self._from_newest()}.")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The json lines of a file of the run; none where it does not exist. A line cut off by a crash is left out.
        Raises CheckpointError for any other that is damaged."""
        return read_lines(self.path / name)

    def cut(self, step: int) -> None:
        """Drop the lines behind a step, which a resumed run writes again, and ends of lines that a crash cut off."""
        for name in LINES:
            if (path := self.path / name).exists():
                kept = [json.dumps(r) + "\n" for r in self.lines(name) if r.get("step", 0) <= step]
                write(path, "".join(kept), HOW + self._from_newest() + ".")

    def write(self, name: str, data: Any) -> Path:
        """A json file of the run, whole or not at all. Raises WriteError."""
        return write(self.path / name, json.dumps(data, indent=1))

    def read(self, name: str) -> Any:
        """A json file of the run, None where it does not exist. Raises CheckpointError for what is not json."""
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
        """The folder for evaluation.json and report.html: `out`, or this run's. Raises WriteError at once where nothing
        can be written there; what was written is sent to the storage, if the run is kept in one."""
        folder = self.path if out is None else Path(out).absolute()
        check_writable(folder, ELSEWHERE)
        yield folder
        if out is None:
            self.push()

    def how_to_go_on(self) -> str:
        """Where the newest checkpoint is, and the command that goes on from it, in one line."""
        newest, place = checkpoint.latest(self.checkpoints), shlex.quote(self.place)
        where = f"the newest checkpoint is {self.place}/checkpoints/{newest.name}" if newest else "none is saved yet"
        recipe = "RECIPE" if self.copy else f"{place}/recipe.yaml"
        return f"{where}. Go on with: taskprompt fit {recipe} --out {place} --resume"
