"""A Ray head as people start one, on ports of its own, ended by its own processes' ids."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kills import children
from ports import free_port


@contextmanager
def head(environment: dict[str, str], cpus: int) -> Iterator[int]:
    """`ray start --head` with a dashboard; its port. Nothing of the caller's is on its PATH or its Python path."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # short: Ray's sockets lie in it
    gcs, dashboard, agent, client = (free_port() for _ in range(4))
    ports = {"port": gcs, "dashboard-port": dashboard, "dashboard-agent-listen-port": agent}
    options = ports | {"ray-client-server-port": client, "temp-dir": folder, "num-cpus": cpus}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--include-dashboard=true"]
    command += [f"--{name}={value}" for name, value in options.items()] + [f"--object-store-memory={1 << 28}"]
    bare = {k: os.environ[k] for k in ("HOME", "LANG") if k in os.environ} | {"PATH": "/usr/bin:/bin"}
    # Idle workers would be of no use to a job, whose own are started in its package.
    spare = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_prestart_worker_first_driver": "0"}
    spare |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # listens on loopback
    with open(Path(folder, "out"), "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=bare | spare | environment)
    try:
        end = time.monotonic() + 120
        while not answers(f"http://127.0.0.1:{dashboard}/api/version"):
            assert process.poll() is None, Path(folder, "out").read_text()
            assert time.monotonic() < end
            time.sleep(0.2)
        yield dashboard
    finally:
        for pid in children(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True  # a token is missing
    except OSError:
        return False
    return True
