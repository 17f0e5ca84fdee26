"""Run: the folder of one training: its recipe, checkpoints, metrics, what was skipped, and what came of it."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from taskprompt.core.errors import CheckpointError, RecipeError, TaskPromptError
from taskprompt.core.loading import dump, load_recipe
from taskprompt.core.model import MultiTaskModel
from taskprompt.core.recipe import Recipe
from taskprompt.train import checkpoint
from taskprompt.train.folder import owned
from taskprompt.train.shown import run_html, run_text
from taskprompt.train.storage import Copy, is_uri

MODEL_PARTS = ("clip", "backbone", "weights", "prompter", "tasks")


@dataclass(frozen=True)
class Run:
    """A folder on disk; everything is read from it when asked for."""

    path: Path
    which: str = "last"  # the checkpoint whose weights are meant: last, best, or a name such as step-00000100
    copy: Copy | None = None  # where `path` is but a working copy of a run kept in a storage

    @classmethod
    def open(cls, place: str | Path, which: str = "last") -> "Run":
        """An existing run, in a folder or at an address such as s3://bucket/run. Raises CheckpointError."""
        run = cls._at(place, which)
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
    def start(cls, place: str | Path, recipe: Recipe, *, resume: bool = False, fresh: bool = False) -> "Run":
        """A new run's place, or the old one to go on with. Never mixes two runs. Raises CheckpointError."""
        run = cls._at(place)
        written = (run.path / "recipe.yaml").exists()
        # A run that never made a step (no such cluster, say) may simply be started again.
        exists = written and ((run.path / "metrics.jsonl").exists() or checkpoint.latest(run.checkpoints) is not None)
        if exists and fresh:
            with owned(run.path, patience=10):
                shutil.rmtree(run.path)
            if run.copy:
                run.copy.path.mkdir()
                run.push()
        elif exists and not resume:
            raise CheckpointError(
                f"{run.place}: holds a run already. Add --resume to go on with it, or --fresh to replace it."
            )
        elif exists:
            run._check_same(recipe)
        elif not written and run.path.exists() and any(run.path.iterdir()):
            raise CheckpointError(f"{run.place}: is not empty and holds no run. Choose another folder for --out.")
        try:
            run.checkpoints.mkdir(parents=True, exist_ok=True)
            (run.path / "recipe.yaml").write_text(dump(recipe), encoding="utf-8")
        except OSError as error:
            raise CheckpointError(
                f"{run.place}: cannot be written: {error.strerror}. Choose another folder for --out."
            ) from None
        run.push()
        return run

    def _check_same(self, recipe: Recipe) -> None:
        old, new = self.recipe.model_dump(mode="json"), recipe.model_dump(mode="json")
        changed = [part for part in MODEL_PARTS if old[part] != new[part]]
        if changed:
            raise CheckpointError(
                f"{self.place}: was made with another recipe; other than here: {', '.join(changed)}. "
                "Resume with the run's own recipe.yaml, or choose another folder for --out."
            )

    @property
    def recipe(self) -> Recipe:
        return load_recipe(self.path / "recipe.yaml")

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
            best = self.recipe.best
            ranked = checkpoint.ranked(found, best.mode) if best else []
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
        """One json line to a file of the run."""
        with open(self.path / name, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The json lines of a file of the run; none where it does not exist. A line cut off by a crash is left out."""
        try:
            text = (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def cut(self, name: str, step: int) -> None:
        """Drop the lines behind a step: a resumed run writes them again."""
        kept = [json.dumps(r) + "\n" for r in self.lines(name) if r["step"] <= step]
        if kept or (self.path / name).exists():
            (self.path / name).write_text("".join(kept), encoding="utf-8")

    def write(self, name: str, data: Any) -> Path:
        """A json file of the run, whole or not at all."""
        target, draft = self.path / name, self.path / f".{name}.{os.getpid()}"
        draft.write_text(json.dumps(data, indent=1), encoding="utf-8")
        draft.replace(target)
        return target

    def read(self, name: str) -> Any:
        """A json file of the run, None where it does not exist."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def build_model(recipe: Recipe) -> MultiTaskModel:
    """The recipe's model, initialised from its seed; the caller's random state is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)


def check_fits(recipe: Recipe) -> None:
    """Build the model once on the meta device: what cannot be built is refused before anything starts."""
    try:
        with torch.device("meta"):
            MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)
            recipe.balancer.build(recipe.tasks)
    except TaskPromptError as error:
        raise RecipeError("recipe", str(error).split("\n")) from error
