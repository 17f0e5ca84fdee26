"""A cluster of this machine alone: its ports listen on loopback, and who connects must know its token.

Whoever reaches a port of Ray runs code of his own, so neither other machines nor other users may."""

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
def alone() -> Iterator[None]:
    """Ray that is started meanwhile listens on loopback only, and asks for a token; the environment is put back.

    The token is the user's own where one is set and nobody else can read it; else one that lives in the environment of
    Ray's processes only. Where the user has set RAY_AUTH_MODE, that holds."""
    wanted = {ONE_MACHINE_VARIABLE: "0"}  # of Ray's processes: their address is then loopback
    wanted |= {name: INTERFACE for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}  # of torch's process groups
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
    """Has the user a token that other users of this machine cannot read?"""
    if os.environ.get(TOKEN):
        return True
    path = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    try:
        return bool(path.read_text().strip()) and not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except (OSError, UnicodeDecodeError):
        return False


def torch_config(node_address: str) -> TorchConfig:
    """How the workers of a training find each other: through a file where the cluster is this machine alone."""
    return FileConfig() if node_address == LOOPBACK else TorchConfig()
