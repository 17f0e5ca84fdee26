"""What came of a training: measure a run, look at its predictions, write its page, copy it, time its model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskprompt.api.job import run_job
from taskprompt.core.events import Watch
from taskprompt.recipe.files import read, validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting.results import Evaluation, Prediction
from taskprompt.runs.run import Run
from taskprompt.sweeps.run import SweepRun


def evaluate(
    run: Run | str | Path,
    *,
    checkpoint: str = "last",
    out: str | Path | None = None,
    cluster: str | None = None,
    watch: Watch | None = None,
) -> Evaluation:
    """Measure a run's weights on its held-out sources; also written to the run's evaluation.json.

    checkpoint: last, best (where the recipe has `best`), or a name such as step-00000100. out: a folder for
    evaluation.json instead of the run's, which may then be read-only.

    Raises WriteError before anything is measured where the folder is read-only; where its disk is full, with what was
    measured as `result`."""
    from taskprompt.evaluation.evaluate import write_evaluation

    run = _opened(run, checkpoint)
    run.checkpoint()
    with run.results_in(out) as folder:
        result = run_job("taskprompt.evaluation.evaluate:evaluate", run, run.recipe, cluster, watch)
        write_evaluation(result, folder)
    return Evaluation.of(result)


def predict(
    run: Run | str | Path,
    clip: str | Path,
    out: str | Path | None = None,
    *,
    inputs: Mapping[str, Any] | str | Path | None = None,
    checkpoint: str = "last",
) -> Prediction:
    """What a run's model sees in a video: answers as data, and a json and a video a task beside it (or in `out`).

    inputs: labels that the heads of some tasks read, such as regions of interest, or a json file of them:
    {"boxes": {"form": "boxes", "values": [[10, 20, 60, 90]]}}, in pixels of the video. With `times`, in seconds,
    `values` holds one set for each of them. A task that lacks its inputs is `left_out`.

    Raises SampleError for a video that cannot be read, SpecError for inputs that no task reads."""
    from taskprompt.evaluation.predict import predict as job

    given = Path(inputs) if isinstance(inputs, str) else inputs
    return Prediction(job(_opened(run, checkpoint), Path(clip), None if out is None else Path(out), given))


def report(
    run: Run | SweepRun | Recipe | str | Path, *, checkpoint: str = "last", out: str | Path | None = None
) -> Path:
    """Write the page of a run, of a sweep, or of the label tables of a recipe: one self-contained html; its path.

    out: a folder to write to instead of the run's or the table's, which may then be read-only. Raises WriteError."""
    if isinstance(run, Recipe) or (isinstance(run, str | Path) and Path(run).suffix in (".yaml", ".yml")):
        from taskprompt.reporting.answers_page import write_answers_page

        recipe = run if isinstance(run, Recipe) else validate(read(run), str(run), Recipe, check_sources=False)
        return write_answers_page(recipe, _folder(out))
    if isinstance(run, SweepRun) or (not isinstance(run, Run) and (Path(run) / "sweep.yaml").is_file()):
        from taskprompt.reporting.sweep_page import write_sweep_page

        return write_sweep_page(run if isinstance(run, SweepRun) else SweepRun.open(run), _folder(out))
    from taskprompt.reporting.page import write_page

    run = _opened(run, checkpoint)
    with run.results_in(out) as folder:
        return write_page(run, folder)


def profile(
    recipes: Sequence[Recipe | str | Path],
    *,
    names: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    repeats: int = 10,
) -> list[Any]:
    """What the models of recipes cost on one clip: an evaluation.profile.Cost each, timed in turn in this process.

    names: what to call them; None: their files' names. keep: the tasks whose heads stay at test time; None: those that
    own no prompt, as the action does. Raises RecipeError, SpecError."""
    from taskprompt.evaluation.profile import profile as measure

    loaded = [r if isinstance(r, Recipe) else Recipe.load(r) for r in recipes]
    names = names or [f"{i}" if isinstance(r, Recipe) else Path(r).stem for i, r in enumerate(recipes)]
    return measure(dict(zip(names, loaded, strict=True)), keep, repeats)


def fetch(run: Run | str | Path, folder: str | Path, *, checkpoint: str = "last") -> Run:
    """Copy a run that is kept in a storage, one of its checkpoints with it, into a new folder here.

    Nothing is written outside the folder, and links out of the run are left out. Raises CheckpointError."""
    from taskprompt.runs.fetch import fetch as job

    return job(_opened(run, checkpoint), Path(folder))


def _opened(run: Run | str | Path, checkpoint: str) -> Run:
    """A run, and which of its checkpoints is meant."""
    return replace(run, which=checkpoint) if isinstance(run, Run) else Run.open(run, checkpoint)


def _folder(out: str | Path | None) -> Path | None:
    return None if out is None else Path(out).absolute()
