"""A local cluster: its ports listen only on loopback, and connections need its token.

Ray runs any code that is sent to its ports, so neither other machines nor other users may connect."""

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.train.torch import TorchConfig

from taskprompt.runtime.cluster._ray_private import ONE_MACHINE_VARIABLE, FileConfig, one_machine, read_token_again

LOOPBACK = "127.0.0.1"
INTERFACE = "lo0" if sys.platform == "darwin" else "lo"
MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


@contextmanager
def loopback_only() -> Iterator[None]:
    """In this context, Ray starts on loopback only, and requires a token; the environment is restored at the end.

    The token is the user's own if one is set and no other user can read it; else a new one that exists only in the
    environment of Ray's processes. RAY_AUTH_MODE is respected if the user has set it."""
    wanted = {ONE_MACHINE_VARIABLE: "0"}  # for Ray's processes: use the loopback address
    wanted |= {name: INTERFACE for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}  # for torch's process groups
    wanted |= {MODE: os.environ.get(MODE, "token")}
    if not has_own_token():
        wanted[TOKEN] = secrets.token_hex(32)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    read_token_again()
    try:
        with one_machine():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def has_own_token() -> bool:
    """Whether the user has a token that other users of this machine cannot read."""
    if os.environ.get(TOKEN):
        return True
    path = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    try:
        return bool(path.read_text().strip()) and not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except (OSError, UnicodeDecodeError):
        return False


def torch_config(node_address: str) -> TorchConfig:
    """The rendezvous of training workers: through a file if the cluster is only this machine."""
    return FileConfig() if node_address == LOOPBACK else TorchConfig()
