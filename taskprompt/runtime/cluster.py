"""Reaching a cluster: one on this machine, or one that runs; and refusing what it cannot give."""

import logging
import math
import os
import time
from contextlib import contextmanager

from taskprompt.core.errors import ClusterError
from taskprompt.core.recipe import Recipe

BLOCK_BYTES = 64 << 20  # of decoded clips that one task of a stream returns
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the pace of reports
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where the user is, so that relative paths and own kinds are found
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONWARNINGS": "ignore",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run`, workers use this environment instead of building their own
}


def needs(recipe: Recipe, times: int = 1) -> tuple[float, int, str]:
    """CPUs and GPUs that a recipe asks for at once, or several trials of it side by side, and the sum in words."""
    r = recipe.runtime
    streams = r.workers * len(recipe.sources) * r.data_tasks
    cpus = r.workers * r.cpus_per_worker + streams
    words = (
        f"{r.workers} workers x {r.cpus_per_worker:g} CPUs + {r.workers} workers x {len(recipe.sources)} sources x "
        f"{r.data_tasks} data tasks = {cpus:g} CPUs"
    )
    gpus = r.workers if r.gpu else 0
    if times > 1:
        cpus, gpus, words = times * cpus, times * gpus, f"{times} trials x ({words}) = {times * cpus:g} CPUs"
    return cpus, gpus, words + (f", and {gpus} GPUs" if gpus else "")


def _store(recipe: Recipe, times: int) -> int:
    """Bytes of shared memory: a stream has two segments of a block a task, and a batch in the making."""
    r = recipe.runtime
    streams = times * r.workers * len(recipe.sources) * 2 * max(r.data_tasks, 2) * BLOCK_BYTES
    return max(streams + (512 << 20), 1 << 30)


@contextmanager
def connected(recipe: Recipe, address: str, times: int = 1):
    """Ray, started here with room for the recipe ('local'), or reached at an address; left as it was found.

    times: runs of the recipe side by side, as a sweep has them.
    Raises ClusterError where nobody answers, or where the cluster is too small, with the arithmetic."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.data import DataContext

    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)

    cpus, _, _ = needs(recipe, times)
    mine = not ray.is_initialized()
    if mine:
        options = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
        try:
            if address == "local":
                # Nobody warns before this machine goes, and the actor that would listen wakes 100 times a second.
                os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
                # Not 15, Ray's own: that leaves data tasks no way to stay behind training.
                os.environ.setdefault("RAY_worker_niceness", "0")
                # Logical CPUs: decoding and training share the real ones, as the operating system sees fit.
                size = {
                    "num_cpus": max(math.ceil(cpus), os.cpu_count() or 1),
                    "object_store_memory": _store(recipe, times),
                }
                ray.init(address="local", **size, **options)
            else:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ClusterError(
                f"cluster {address!r} cannot be reached: {error}. Give the address of a running head."
            ) from None
    try:
        DataContext.get_current().enable_progress_bars = False
        if (problem := _lack(ray, recipe, times)) is not None:
            raise ClusterError(problem)
        yield ray
    finally:
        if mine:
            ray.shutdown()


def wait_for_room(ray, recipe: Recipe) -> None:
    """Until the cluster has again what the recipe asks for. Raises ClusterError after `runtime.wait` seconds."""
    end = time.monotonic() + recipe.runtime.wait
    while (problem := _lack(ray, recipe)) is not None:
        if time.monotonic() > end:
            raise ClusterError(f"after {recipe.runtime.wait:g} s of waiting for nodes (runtime.wait): {problem}")
        time.sleep(1)


def _lack(ray, recipe: Recipe, times: int = 1) -> str | None:
    cpus, gpus, words = needs(recipe, times)
    have = ray.cluster_resources()
    if have.get("CPU", 0) >= cpus and have.get("GPU", 0) >= gpus:
        return None
    what, less = ("the sweep", "concurrent, ") if times > 1 else ("the recipe", "")
    return (
        f"{what} asks for {words}; the cluster has {have.get('CPU', 0):g} CPUs, {have.get('GPU', 0):g} GPUs. "
        f"Lower {less}runtime.workers, runtime.data_tasks or runtime.cpus_per_worker, or add nodes."
    )
