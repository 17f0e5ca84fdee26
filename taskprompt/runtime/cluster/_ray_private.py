"""All that is taken from private modules of Ray, for which Ray has no public way. No other file may name such a module.

Each entry says why it is needed, and what the public API lacks. Look at these when Ray's version changes."""

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

# A worker or its start was lost. Ray Train's public WorkerGroupError only holds these, by worker, and its public module
# has no names for them.
LOST_WORKERS: tuple[type[Exception], ...] = (
    train_exceptions.WorkerHealthCheckFailedError,
    train_exceptions.WorkerHealthCheckTimeoutError,
    train_exceptions.WorkerGroupStartupFailedError,
    train_exceptions.WorkerGroupStartupTimeoutError,
)


def free_resources() -> dict[str, dict[str, float]]:
    """Node's id -> what is free there. The public `ray.available_resources` has the sum over all nodes alone."""
    return available_resources_per_node()


def store_bytes() -> int:
    """Bytes that were ever written to the object store of the first node. No public call counts them; the dashboard's
    metrics have what lies there now."""
    node = ray.nodes()[0]
    found = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    return found.store_stats.cumulative_created_bytes


@contextmanager
def one_machine() -> Iterator[None]:
    """A Ray that is started meanwhile takes the address of loopback. The public way, the environment variable
    `ONE_MACHINE_VARIABLE`, is read where Ray is imported, which may be long ago."""
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


ONE_MACHINE_VARIABLE = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR  # "0" for Ray's own processes


def read_token_again() -> None:
    """Ray keeps the authentication mode and token of the first cluster that a process knew; there is no public call to
    read RAY_AUTH_MODE and RAY_AUTH_TOKEN again."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


class Trainer(TorchTrainer):
    """Leaves signals to us: Ray's own handler for SIGINT, which stays when the training has ended, hides them. Publicly
    it can neither be switched off, nor can the controller be had, which is ended where a user interrupts."""

    controller: Any = None

    def _register_sigint_handler(self, controller) -> None:
        self.controller = controller


class FileConfig(TorchConfig):
    """Workers of one machine find each other through a file. The public TorchConfig knows 'env' and 'tcp' alone, whose
    store listens on every interface, whatever address it is given."""

    @property
    def backend_cls(self):
        """What sets up the process group."""
        return FileBackend


class FileBackend(ray_torch._TorchBackend):
    """As Ray's, for processes of one machine. The public `Backend` has no process group of torch."""

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
        """End it, and remove the file."""
        super().on_shutdown(worker_group, backend_config)
        shutil.rmtree(self.folder, ignore_errors=True)
