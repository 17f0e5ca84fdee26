"""Everything that is used from private modules of Ray, for lack of a public API. No other file may import these.

Each entry says why it is needed, and what the public API lacks. Check them when Ray's version changes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.internal_api import node_stats
from ray._private.state import available_resources_per_node
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch import config as ray_torch
from ray.train.v2._internal import exceptions as train_exceptions

# A worker was lost, or could not start. Ray Train's public WorkerGroupError contains these per worker, but does not
# export the classes.
LOST_WORKERS: tuple[type[Exception], ...] = (
    train_exceptions.WorkerHealthCheckFailedError,
    train_exceptions.WorkerHealthCheckTimeoutError,
    train_exceptions.WorkerGroupStartupFailedError,
    train_exceptions.WorkerGroupStartupTimeoutError,
)


def free_resources() -> dict[str, dict[str, float]]:
    """Node id -> free resources. The public `ray.available_resources` gives only the sum over all nodes."""
    return available_resources_per_node()


def store_bytes() -> int:
    """Total bytes written to the object store of the first node. There is no public call; the dashboard's metrics have
    only its current size."""
    node = ray.nodes()[0]
    found = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    return found.store_stats.cumulative_created_bytes


@contextmanager
def one_machine() -> Iterator[None]:
    """In this context, Ray starts on the loopback address. The public way, the environment variable
    `ONE_MACHINE_VARIABLE`, is read only when Ray is imported."""
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


ONE_MACHINE_VARIABLE = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR  # "0" in Ray's processes


def read_token_again() -> None:
    """Ray caches the authentication mode and token of the first cluster in a process; there is no public call to read
    RAY_AUTH_MODE and RAY_AUTH_TOKEN again."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


class Trainer(TorchTrainer):
    """A trainer without Ray's SIGINT handler, which would hide signals from us, also after training. There is no public
    way to disable it, or to get the controller, which must be ended after an interrupt."""

    controller: Any = None

    def _register_sigint_handler(self, controller) -> None:
        self.controller = controller


class FileConfig(TorchConfig):
    """Rendezvous of workers on one machine through a file. The public TorchConfig supports only 'env' and 'tcp', whose
    store listens on all interfaces."""

    @property
    def backend_cls(self):
        """The class that sets up the process group."""
        return FileBackend


class FileBackend(ray_torch._TorchBackend):
    """Ray's torch backend, for processes of one machine. The public `Backend` has no torch process group."""

    def on_start(self, worker_group, backend_config) -> None:
        """Start torch's process group on all workers."""
        count, gpus = len(worker_group), worker_group.get_resources_per_worker().get("GPU", 0)
        worker_group.execute(ray_torch._set_torch_distributed_env_vars)
        self.folder = tempfile.mkdtemp(prefix="taskprompt-store-")
        begun = [
            worker_group.execute_single_async(
                rank,
                ray_torch._setup_torch_process_group,
                backend=backend_config.backend or ("nccl" if gpus else "gloo"),
                world_rank=rank,
                world_size=count,
                init_method=f"file://{self.folder}/store",
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(count)
        ]
        ray.get(begun)  # type: ignore[call-overload]

    def on_shutdown(self, worker_group, backend_config) -> None:
        """End the process group, and remove the file."""
        super().on_shutdown(worker_group, backend_config)
        shutil.rmtree(self.folder, ignore_errors=True)
