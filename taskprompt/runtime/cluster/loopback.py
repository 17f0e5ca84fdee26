"""A cluster of this machine alone: its ports listen on loopback, and who connects must know its token.

Whoever reaches a port of Ray runs code of his own, so neither other machines nor other users may."""

import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.train.torch import TorchConfig
from ray.train.torch import config as ray_torch

LOOPBACK = "127.0.0.1"
INTERFACE = "lo0" if sys.platform == "darwin" else "lo"
MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


@contextmanager
def alone() -> Iterator[None]:
    """Ray that is started meanwhile listens on loopback only, and asks for a token; the environment is put back.

    The token is the user's own where one is set and nobody else can read it; else one that lives in the environment of
    Ray's processes only. Where the user has set RAY_AUTH_MODE, that holds."""
    wanted = {ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}  # of Ray's processes: their address is then loopback
    wanted |= {name: INTERFACE for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}  # of torch's process groups
    wanted |= {MODE: os.environ.get(MODE, "token")}
    if not has_own_token():
        wanted[TOKEN] = secrets.token_hex(32)
    before = {name: os.environ.get(name) for name in wanted}
    several, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False  # where Ray was imported before
    os.environ.update(wanted)
    refresh()
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def has_own_token() -> bool:
    """Has the user a token that other users of this machine cannot read?"""
    if os.environ.get(TOKEN):
        return True
    path = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    try:
        return bool(path.read_text().strip()) and not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except (OSError, UnicodeDecodeError):
        return False


def refresh() -> None:
    """Let Ray read mode and token anew: it keeps those of the first cluster that a process knew."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def torch_config(node_address: str) -> TorchConfig:
    """How the workers of a training find each other: through a file where the cluster is this machine alone."""
    return FileConfig() if node_address == LOOPBACK else TorchConfig()


class FileConfig(TorchConfig):
    """torch's usual store listens on every interface, whatever address it is given."""

    @property
    def backend_cls(self):
        """What sets up the process group."""
        return FileBackend


class FileBackend(ray_torch._TorchBackend):
    """As Ray's, for processes of one machine."""

    def on_start(self, worker_group, backend_config) -> None:
        """Start torch's process group on all workers."""
        import ray

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
