"""Trainings: of one recipe, of a sweep, and of several recipes with several seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskprompt.api.job import run_job
from taskprompt.checks.model import check_fits
from taskprompt.core.events import Warned, Watch
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting.results import Comparison
from taskprompt.runs.run import Run
from taskprompt.runs.stop import stoppable
from taskprompt.sweeps.check import check_sweep
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.sweep import Sweep
from taskprompt.weights.start import check_weights


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
            run_job("taskprompt.train.job:train", run, recipe, cluster, watcher)
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
