"""Sweeps with Ray Tune: Tune starts, places, reuses and ends trials; the journal decides which, and for how long."""

import logging
import os
import shutil
import signal
import time
import uuid

import torch

from taskprompt.core.errors import SpecError, TaskPromptError
from taskprompt.core.events import Change, TrialChanged, Watch
from taskprompt.recipe.recipe import Recipe
from taskprompt.runs.lock import locked
from taskprompt.runtime.cluster.connect import connected
from taskprompt.runtime.cluster.resources import fitting, needs
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.trials import TrialRow

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a trial's run has its own records and TensorBoard
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the journal has the state
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1e9",
    "RAY_AIR_NEW_OUTPUT": "0",
    # For a Ray that is started here. The default of one second is shorter than the pause between two trials, and a new
    # data task process takes many seconds for imports.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
}


def tune(
    run: SweepRun,
    recipes: list[Recipe],
    address: str,
    watch: Watch,
    retry: bool = False,
) -> None:
    """Train the trials of a sweep's folder that have not ended yet; with retry, also failed ones.

    recipes: those at the edges of the search space; the largest of them determines the resources of a trial. Raises
    ClusterError if the cluster lacks resources for the concurrent trials, SpecError if the metric does not exist,
    TaskPromptError if all trials failed or the sweep was interrupted."""
    if address == "none":
        raise SpecError("cluster: found 'none', but the trials of a sweep run on Ray. Give local or an address.")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with locked(run.path):
        run.drop_incomplete_line()
        largest = max(recipes, key=lambda r: needs(r)[:2])
        with connected(largest, address, side_by_side(run, largest, address)) as ray:
            from taskprompt.runtime.sweeps.journal import Journal

            def tell(row: TrialRow, change: Change, best: TrialRow | None) -> None:
                event = TrialChanged(
                    trial=row.name,
                    change=change,
                    values=row.values,
                    step=row.steps[-1] if row.steps else 0,
                    value=row.last,
                    error=row.error,
                    best=None if best is None or best.last is None else (best.name, best.last),
                )
                watch(event)

            journal = Journal(run, max(sum(s.steps for s in r.stages) for r in recipes), tell, retry)
            begin = time.monotonic()
            if journal.left:
                _run(ray, run, journal, largest)
            _conclude(run, journal, time.monotonic() - begin)


def side_by_side(run: SweepRun, largest: Recipe, address: str) -> int:
    """Number of parallel trials to provide for: as requested; else as many as fit on this machine, at least one."""
    import ray

    asked = run.sweep.concurrent
    if asked is None and address == "local" and not ray.is_initialized():
        asked = fitting({"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}, largest)
    return asked or 1


def _run(ray, run: SweepRun, journal, largest: Recipe) -> None:
    """Run the journal's trials with Tune."""
    from ray import tune

    from taskprompt.runtime.sweeps.callbacks import JournalScheduler, JournalSearcher, JournalStopper
    from taskprompt.runtime.sweeps.trial import Trial

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    r, minutes = largest.runtime, journal.sweep.minutes
    tasks = sum(r.data_workers_for(name) for name in largest.sources)
    # One placement group: a bundle for training and one for each data task, so that no trial waits for another's tasks.
    bundles = tune.PlacementGroupFactory([r.worker_resources(), *({"CPU": r.data_cpus} for _ in range(tasks))])
    tuner = tune.Tuner(
        tune.with_resources(Trial, bundles),
        tune_config=tune.TuneConfig(
            num_samples=journal.left,
            max_concurrent_trials=journal.sweep.concurrent or max(1, fitting(ray.cluster_resources(), largest)),
            search_alg=JournalSearcher(journal),
            scheduler=JournalScheduler(journal),
            time_budget_s=None if minutes is None else 60 * minutes,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial-{trial.config['number']:03d}",
            trial_dirname_creator=lambda trial: f"trial-{trial.config['number']:03d}",
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex[:8],
            storage_path=str(run.path / "tune"),
            stop=JournalStopper(journal),
            failure_config=tune.FailureConfig(max_failures=r.max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # on which Tune ends its trials
    try:
        tuner.fit()
    finally:  # Tune's own files, which a sweep does not need
        shutil.rmtree(run.path / "tune", ignore_errors=True)


def _conclude(run: SweepRun, journal, seconds: float) -> None:
    """Raise the error of a sweep that did not end normally."""
    sweep, rows = run.sweep, run.trials()
    ended = sum(row.state != "running" for row in rows)
    if journal.fatal:
        raise SpecError(journal.fatal)
    if ended < sweep.count and (sweep.minutes is None or seconds < 60 * sweep.minutes):
        raise TaskPromptError(
            f"{run.path}: interrupted; {ended} of {sweep.count} trials have ended. Continue with --resume."
        )
    failed = [row for row in rows if row.state == "failed"]
    if failed and len(failed) == len(rows):
        raise TaskPromptError(f"every trial failed, {len(rows)} in all; trial {failed[0].name}: {failed[0].error}")
