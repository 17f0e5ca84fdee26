"""Connecting to a cluster: a new one on this machine, or a running one."""

import logging
import math
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import taskprompt
from taskprompt.core.errors import ClusterError
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.resources import needs, refuse_if_too_small, worker_counts

BLOCK_BYTES = 64 << 20  # of decoded clips that one task of a stream returns
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # interval of polling reports
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers keep the working directory, for relative paths and own kinds
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONWARNINGS": "ignore",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run`, workers use this environment instead of building their own
}


def _store(recipe: Recipe, times: int) -> int:
    """Bytes of shared memory: per task of a stream, one block in progress and one done; two more to form a batch."""
    workers = times * worker_counts(recipe)[0]
    streams = workers * sum(2 * max(recipe.runtime.data_workers_for(n), 2) for n in recipe.sources) * BLOCK_BYTES
    return max(streams + (512 << 20), 1 << 30)


def check_listening(address: str) -> None:
    """Raises ClusterError at once if the port is closed; Ray itself would retry for minutes."""
    if address.startswith(("http://", "https://")):
        raise ClusterError(
            f"cluster {address!r} is the address of a dashboard. Submit jobs to it with `taskprompt submit`, or give "
            "host:port of the running head, as in 10.0.0.5:6379."
        )
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(unreachable(address, "this is not host:port"))
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ClusterError(unreachable(address, str(error))) from None


def unreachable(address: str, why: str) -> str:
    """The message for a cluster that cannot be reached, or rejects the token."""
    text = " ".join(why.split())
    if "oken" in text or "uthentic" in text:
        return (
            f"cluster {address!r} rejects this token: {shorten(text, 200).rstrip('.')}. Set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH to the file with the cluster's token, or RAY_AUTH_TOKEN to the token."
        )
    return (
        f"cluster {address!r} cannot be reached: {shorten(text, 200)}. Give 'local', 'auto', or host:port of a running "
        "head, as in 10.0.0.5:6379."
    )


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Capture Ray core's standard error in this context, instead of showing it on the terminal.

    This is the only place where it reports a wrong token, twenty times."""
    said: list[str] = []
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


@contextmanager
def connected(recipe: Recipe, address: str, times: int = 1, ship_package: bool = False):
    """Ray, started here with the recipe's resources ('local'), or connected at an address; disconnected at the end.

    times: parallel runs of the recipe, as in a sweep. ship_package: send taskprompt to actors in environments without
    it.
    Raises ClusterError if the cluster cannot be reached, or is too small, with the calculation."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.data import DataContext
    from ray.exceptions import RayError

    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)

    said: list[str] = []
    cpus, _, _ = needs(recipe, worker_counts(recipe)[0], times)
    mine = not ray.is_initialized()
    stack = ExitStack()
    if mine:
        from taskprompt.runtime.cluster import loopback
        from taskprompt.runtime.cluster._ray_private import read_token_again

        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if ship_package:
            options["runtime_env"] = {"py_modules": [str(Path(taskprompt.__file__).parent)]}
        if address not in ("local", "auto"):
            check_listening(address)
        try:
            if address == "local":
                # A local machine gets no preemption notice, and the actor that listens for it polls 100 times a second.
                os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
                # Ray's default of 15 would leave no lower priority for data tasks.
                os.environ.setdefault("RAY_worker_niceness", "0")
                # Logical CPUs: the operating system schedules decoding and training on the real ones.
                size = {
                    "num_cpus": max(math.ceil(cpus), os.cpu_count() or 1),
                    "object_store_memory": _store(recipe, times),
                }
                stack.enter_context(loopback.loopback_only())
                ray.init(address="local", include_dashboard=False, **size, **options)
            else:
                read_token_again()
                with captured_stderr() as said:
                    ray.init(address=address, **options)
        except (ConnectionError, ValueError, RuntimeError, RayError) as error:
            stack.close()
            refusal = re.search(r"InvalidAuthToken: (.*)", said[0]) if said else None
            raise ClusterError(unreachable(address, refusal[1] if refusal else str(error))) from None
    try:
        DataContext.get_current().enable_progress_bars = False
        refuse_if_too_small(ray, recipe, times)
        yield ray
    finally:
        if mine:
            ray.shutdown()
        stack.close()
