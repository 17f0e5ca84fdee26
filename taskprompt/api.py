"""The verbs in Python: fit, evaluate, predict, report. The command line is a thin layer over these."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskprompt.core.recipe import Recipe
from taskprompt.train.run import Run, check_fits

Watch = Callable[[dict[str, Any]], None]


def fit(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    cluster: str | None = "local",
    resume: bool = False,
    fresh: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Train a recipe into the folder `out` and return the run.

    cluster: 'local' starts Ray on this machine, an address joins a running cluster, None trains in this very process
    (a notebook, a debugger): same loop, same data. resume: go on from the newest checkpoint in `out`. fresh: replace
    what is in `out`. watch: called with each step's facts; None draws a progress bar on a terminal.

    Raises RecipeError, SourceError, CheckpointError, ClusterError; all are TaskPromptErrors."""
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    check_fits(recipe)
    run = Run.start(out, recipe, resume=resume, fresh=fresh)
    _run_job("taskprompt.train.job:train", run, recipe, cluster, watch)
    return run


def evaluate(run: Run | str | Path, *, cluster: str | None = None, watch: Watch | None = None) -> dict[str, Any]:
    """Measure a run's newest weights on its held-out sources; also written to the run's evaluation.json."""
    run = run if isinstance(run, Run) else Run.open(run)
    run.checkpoint()
    _run_job("taskprompt.train.evaluate:evaluate", run, run.recipe, cluster, watch)
    return run.read("evaluation.json")


def predict(run: Run | str | Path, clip: str | Path, out: str | Path | None = None) -> dict[str, Any]:
    """What a run's model sees in a video: answers as data, and a json and a video a task beside it (or in `out`)."""
    from taskprompt.train.predict import predict as job

    return job(run if isinstance(run, Run) else Run.open(run), Path(clip), None if out is None else Path(out))


def report(run: Run | str | Path) -> Path:
    """Write a run's page, one self-contained html, and return its path."""
    from taskprompt.reporting.page import write_page

    return write_page(run if isinstance(run, Run) else Run.open(run))


def _run_job(job: str, run: Run, recipe: Recipe, cluster: str | None, watch: Watch | None) -> None:
    from taskprompt.progress import progress

    with progress(watch) as watcher:
        if cluster is None:
            from taskprompt.train.place import this_process

            module, name = job.split(":")
            getattr(importlib.import_module(module), name)(run, this_process(recipe.runtime, watcher))
        else:
            from taskprompt.runtime.launch import launch

            launch(job, run, recipe, cluster, watcher)
            run.pull()
