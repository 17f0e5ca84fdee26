"""A cluster of this machine is out of reach for other machines, and asks for a token."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import taskprompt as tp
from taskprompt.recipe.files import validate
from taskprompt.runtime.cluster.loopback import has_own_token

LISTENS, LOOPBACK = "0A", {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
STRANGER = """
import sys
from ray._raylet import GcsClient
try:
    print(GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, 5))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def listening() -> dict[str, str]:
    """Address as the kernel writes it -> who listens there: this process, and all that it started."""
    parent = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with_name = stat.read_text() if stat.exists() else "0 () 0 0"
        parent[int(stat.parent.name)] = int(with_name.rpartition(")")[2].split()[1])
    ours = {os.getpid()}
    while more := {p for p, up in parent.items() if up in ours} - ours:
        ours |= more
    owner = {}
    for pid in ours:
        for fd in Path(f"/proc/{pid}/fd").glob("*"):
            if fd.is_symlink() and (target := str(fd.readlink())).startswith("socket:["):
                owner[target[8:-1]] = f"{pid} {Path(f'/proc/{pid}/comm').read_text().strip()}"
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENS and words[9] in owner:
                found[words[1]] = owner[words[9]]
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux' tables of sockets")
def test_a_training_listens_on_loopback_only(cluster, squares, tmp_path):
    elsewhere, names = {}, set()

    def look(event):
        found = listening()
        names.update(name.split(" ", 1)[1] for name in found.values())
        elsewhere.update({a: who for a, who in found.items() if a.rpartition(":")[0] not in LOOPBACK})

    recipe = validate(squares | {"runtime": squares.get("runtime", {}) | {"workers": 2}}, "r", tp.Recipe)
    tp.fit(recipe, tmp_path / "run", cluster="local", watch=look)
    assert {"gcs_server", "raylet"} <= names
    assert any("RayTrainW" in n for n in names), names  # the workers of the training were looked at, too
    assert not elsewhere


def test_who_does_not_know_the_token_is_refused(cluster, tmp_path):
    assert "RAY_AUTH_TOKEN" not in os.environ  # where the user has set none, it is in the environment of Ray alone
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")} | {"HOME": str(tmp_path)}
    address = cluster.get_runtime_context().gcs_address
    for more in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}):
        command = [sys.executable, "-c", STRANGER, address]
        stranger = subprocess.run(command, env=env | more, capture_output=True, text=True, timeout=60)
        assert stranger.returncode == 1
        assert "InvalidAuthToken" in stranger.stderr


def test_a_users_own_token_is_taken_where_others_cannot_read_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    assert not has_own_token()
    file.write_text("a" * 64)
    file.chmod(0o644)
    assert not has_own_token()
    file.chmod(0o600)
    assert has_own_token()
