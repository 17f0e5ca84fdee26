"""cluster/local.sh, run for real: who may connect, where it listens, and what it leaves behind."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from heads import MARK, left_of, listens_on
from ports import free_port

SCRIPT = Path(__file__).parents[2] / "cluster" / "local.sh"
RAY = Path(sys.executable).with_name("ray")
CONNECT = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print("CPUs", ray.cluster_resources()["CPU"])
"""
pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into /proc")


@pytest.fixture
def script(tmp_path):
    """The script, called with ports and a home folder of its own; its head is stopped in any case."""
    port = free_port(6800)
    mark = f"{os.getpid()}-{port}"
    mine = {"PORT": str(port), "DASHBOARD_PORT": str(free_port(8800)), "HOME": str(tmp_path), MARK: mark, "CPUS": "3"}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [SCRIPT, *arguments], env=clean | mine | more, capture_output=True, text=True, timeout=240
        )

    call.environ, call.mark, call.port = clean | mine, mark, port  # type: ignore[attr-defined]
    yield call
    call("stop")


def connecting(script, **environ: str) -> subprocess.Popen:
    command = [sys.executable, "-c", CONNECT, f"127.0.0.1:{script.port}"]
    return subprocess.Popen(command, env=script.environ | environ, stdout=-1, stderr=-1, text=True)


def answer(url: str, token: str | None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as found:
            return found.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_head_asks_for_its_token_listens_here_alone_and_leaves_nothing(script, tmp_path):
    started = script("start", "--object-store-memory", str(200 << 20))
    if "timed out during startup" in started.stderr:  # Ray gives itself 30 s, and others may be at work here
        started = script("start", "--object-store-memory", str(200 << 20))
    assert started.returncode == 0, started.stderr
    assert f"--cluster 127.0.0.1:{script.port}" in started.stdout
    token = tmp_path / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600

    other = tmp_path / "other"
    other.write_text("0" * 64)
    stranger = connecting(script, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(other))  # 20 s until it gives up
    dashboard = int(script.environ["DASHBOARD_PORT"])
    assert listens_on(dashboard) == {"0100007F"}
    url = f"http://127.0.0.1:{dashboard}/api/version"
    assert answer(url, token.read_text()) == 200
    assert answer(url, None) == 401
    assert answer(url, "0" * 64) == 403
    said, complaint = connecting(script, RAY_AUTH_MODE="token").communicate(timeout=120)
    assert said == "CPUs 3.0\n", complaint
    again = script("start")
    assert again.returncode == 2
    assert "a head runs on port" in again.stderr
    job = [RAY, "job", "submit", "--no-wait", "--address", f"http://127.0.0.1:{dashboard}", "--", "sleep", "600"]
    subprocess.run(job, env=script.environ | {"RAY_AUTH_MODE": "token"}, capture_output=True, check=True, timeout=120)
    said, complaint = stranger.communicate(timeout=120)
    assert (said, stranger.returncode) == ("", 1)
    assert "ConnectionError" in complaint

    assert len(left_of(script.mark)) > 5
    stopped = script("stop")
    assert stopped.returncode == 0, stopped.stderr
    end = time.monotonic() + 5  # Ray's guard of a job wakes once a second
    while (left_of(script.mark) or listens_on(dashboard)) and time.monotonic() < end:
        time.sleep(0.2)
    assert left_of(script.mark) == []  # one that is ending hides its name before it lets go of its port
    assert listens_on(dashboard) == set()


def test_a_mistake_is_told_in_a_line(script):
    for arguments, environ, words in (
        ((), {}, "expected start or stop"),
        (("start",), {"AUTH": "tocken"}, "AUTH is 'tocken', expected token or disabled"),
        (("stop",), {}, "no head that this script started"),
        (("start",), {"RAY_AUTH_TOKEN_PATH": "/nowhere/token"}, "Look at RAY_AUTH_TOKEN_PATH"),
        (("start", "--no-such-option"), {}, "Ray did not start"),
    ):
        found = script(*arguments, **environ)
        assert (found.returncode, found.stdout) == (2, "")
        assert found.stderr.splitlines()[-1].startswith("local.sh: ")
        assert words in found.stderr
    assert left_of(script.mark) == []
