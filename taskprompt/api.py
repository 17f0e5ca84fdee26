"""The verbs in Python: fit, tune, evaluate, predict, report, convert. The command line is a thin layer over them."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskprompt.checks.check import Checked
from taskprompt.checks.model import check_fits
from taskprompt.core.clip import ClipSpec
from taskprompt.core.events import Warned, Watch
from taskprompt.core.model import Backbone
from taskprompt.recipe.files import read, validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.weights import Inflate
from taskprompt.reporting.results import Comparison, Evaluation, Labelling, Prediction
from taskprompt.runs.run import Run
from taskprompt.runs.stop import stoppable
from taskprompt.sweeps.check import check_sweep
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.sweep import Sweep
from taskprompt.weights.report import LoadReport
from taskprompt.weights.start import check_weights


def check(recipe: Recipe | str | Path, overrides: Sequence[str] = (), *, data: bool = False) -> Checked:
    """Check a recipe, or the file of one with 'a.b=value' overrides, and return it with what is known of it.

    data: also list the clips of its sources, and read some of each. Raises RecipeError with everything that is wrong:
    fields, names that do not agree, missing tables, metrics that are not measured, weights that do not fit."""
    from taskprompt.checks.check import check as job

    return job(recipe, overrides, data=data)


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
    what is in `out`. watch: called with every event of the job, see `taskprompt.events`; None shows progress.

    out may be an address such as s3://bucket/run: see docs/cluster.md.

    Raises RecipeError, SourceError, TaskError, CheckpointError, ClusterError; all are TaskPromptErrors."""
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    check_fits(recipe)
    if not resume:
        check_weights(recipe)
    from taskprompt.progress import progress

    with Run.start(out, recipe, resume=resume, fresh=fresh) as run, stoppable(run), progress(watch) as watcher:
        for text in run.told:
            watcher(Warned(text))
        if not run.done:
            _run_job("taskprompt.train.job:train", run, recipe, cluster, watcher)
    return run


def tune(
    sweep: Sweep | str | Path,
    out: str | Path,
    *,
    cluster: str = "local",
    resume: bool = False,
    fresh: bool = False,
    retry: bool = False,
    watch: Watch | None = None,
) -> SweepRun:
    """Train a recipe many times, with other values each time, into the folder `out`, and return the sweep's run.

    cluster, resume and fresh are as for `fit`; retry resumes, and goes on with trials that failed, too. watch: called
    with a `taskprompt.events.TrialChanged` each time; None prints a line for each.

    Raises RecipeError with all that is wrong at any edge of the space before anything starts; CheckpointError,
    ClusterError; TaskPromptError where every trial failed."""
    sweep = sweep if isinstance(sweep, Sweep) else Sweep.load(sweep)
    recipes = check_sweep(sweep)
    from taskprompt.progress import trial_lines
    from taskprompt.runtime.sweeps.tune import tune as job

    with SweepRun.held(out):
        run = SweepRun.start(out, sweep, resume=resume or retry, fresh=fresh)
        job(run, recipes, cluster, trial_lines(sweep) if watch is None else watch, retry)
    return run


def compare(
    recipes: Sequence[str | Path],
    out: str | Path,
    *,
    seeds: int = 5,
    over: Mapping[str, Sequence[Any]] | None = None,
    metric: str | None = None,
    mode: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    concurrent: int | None = None,
    cluster: str = "local",
    resume: bool = False,
    fresh: bool = False,
    retry: bool = False,
    watch: Watch | None = None,
) -> Comparison:
    """Train each of several recipes with seeds 0, 1, ... into the folder `out`, a sweep's, and tabulate the results.

    The table is comparison.md, .tex and .json in the folder: the mean of `metric` over seeds with its 95 % interval,
    the difference from the first recipe paired by seed, and the minutes that a run took. over: field -> values, such as
    folds: each recipe and seed is trained with each of them; "a.b, c.d" sets two fields to one value. metric:
    source/task/metric, as in held_out.jsonl; None: that of the first recipe's `best`. mode: max or min; None: as the
    metric's task says. overrides: field -> value, the same for all. concurrent: runs side by side; None: as many as
    there is room for. A recipe without `evaluate_every` is measured after every quarter of its steps. cluster, resume,
    fresh, retry and watch are as for `tune`, and so are the errors; with resume there may be more recipes or seeds than
    before. A run that fails is told below the table."""
    from taskprompt.reporting.comparison_table import write_comparison
    from taskprompt.sweeps.comparison import comparison_sweep, is_comparison

    sweep = comparison_sweep(recipes, seeds, metric, mode, overrides or {}, concurrent, over)
    try:
        tune(sweep, out, cluster=cluster, resume=resume, fresh=fresh, retry=retry, watch=watch)
    finally:  # what has ended before an interruption is a table, too
        if (Path(out) / "sweep.yaml").is_file() and is_comparison((run := SweepRun.open(out)).sweep):
            write_comparison(run)
    return Comparison.open(out)


def label(
    recipe: Recipe | str | Path,
    names: Sequence[str] = (),
    *,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    cluster: str = "local",
    watch: Watch | None = None,
) -> Labelling:
    """Run a recipe's labelers into their tables, those of `names` or all: name -> labels there before, made, failed.

    Beside these, 'LABEL: FLAG' counts the table's answers that are empty, refused, repetitive, truncated or duplicate,
    those that reasoning was taken off, and those that a content filter stopped. limit: clips that each labeler is asked
    about, at most; those whose answers are there do not count. What a table holds already is not made again, so a job
    that was interrupted goes on. A path is read without its tables, which need not be there yet.

    Raises RecipeError, SpecError, SourceError, ClusterError."""
    from taskprompt.progress import progress
    from taskprompt.runtime.labeling.job import label as job

    if not isinstance(recipe, Recipe):
        recipe = validate(read(recipe, tuple(overrides)), str(recipe), Recipe, check_sources=False)
    with progress(watch) as told:
        return Labelling.of(job(recipe, tuple(names), cluster, told, limit))


def profile(
    recipes: Sequence[Recipe | str | Path],
    *,
    names: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    repeats: int = 10,
) -> list[Any]:
    """What the models of recipes cost on one clip: a train.profile.Cost each, timed in turn in this process.

    names: what to call them; None: their files' names. keep: the tasks whose heads stay at test time; None: those that
    own no prompt, as the action does. Raises RecipeError, SpecError."""
    from taskprompt.evaluation.profile import profile as measure

    loaded = [r if isinstance(r, Recipe) else Recipe.load(r) for r in recipes]
    names = names or [f"{i}" if isinstance(r, Recipe) else Path(r).stem for i, r in enumerate(recipes)]
    return measure(dict(zip(names, loaded, strict=True)), keep, repeats)


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
        result = _run_job("taskprompt.evaluation.evaluate:evaluate", run, run.recipe, cluster, watch)
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


def convert(
    file: str | Path,
    to: Backbone | dict[str, Any],
    out: str | Path,
    *,
    clip: ClipSpec | None = None,
    inflate: Inflate = "centre",
    entry: str | None = None,
) -> LoadReport:
    """Write a public checkpoint, or one of a run, as safetensors by our names, for `weights` of a recipe.

    to: the backbone, also as a recipe writes it: {"kind": "mvit", "size": "S"}. clip: resize its position tables for
    clips of this shape; None: they keep theirs, and are resized when they are loaded. inflate and entry: as in
    `Weights`.

    Raises RecipeError for a wrong backbone; CheckpointError where the file cannot be read or is of another one."""
    from taskprompt.weights.start import convert as job

    spec = to if isinstance(to, Backbone) else validate(to, "backbone", Backbone)
    return job(Path(file), spec, Path(out), clip, inflate, entry)


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


def _run_job(job: str, run: Run, recipe: Recipe, cluster: str | None, watch: Watch | None) -> Any:
    from taskprompt.progress import progress

    with progress(watch) as watcher:
        if cluster is None:
            from taskprompt.data.local import this_process
            from taskprompt.recipe.runtime import torch_threads

            module, name = job.split(":")
            context = this_process(recipe.runtime, watcher)
            with torch_threads(recipe.runtime.threads):
                return getattr(importlib.import_module(module), name)(run, context)
        from taskprompt.runtime.training.launch import launch

        result = launch(job, run, recipe, cluster, watcher)
        run.pull()
        return result
