"""One local Ray for all tests of this folder; starting one takes many seconds."""

import logging
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster of this machine with room for two workers, their streams, and the tests' own kinds on its path."""
    import ray

    from taskprompt.runtime.cluster.connect import QUIET
    from taskprompt.runtime.cluster.loopback import loopback_only

    os.environ.update({k: v for k, v in QUIET.items() if k not in os.environ})
    with loopback_only():
        ray.init(
            address="local",
            num_cpus=8,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=256 << 20,
            labels={"disk": "fast"},
            runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}},
        )
    yield ray
    ray.shutdown()


@pytest.fixture
def hog(cluster):
    """hog(cpus) -> an actor that holds so many; they are free again at the end, or when it is killed."""

    class Hog:
        def here(self) -> bool:
            return True

    hogs = []

    def hold(cpus: float):
        hogs.append(cluster.remote(num_cpus=cpus)(Hog).remote())
        cluster.get(hogs[-1].here.remote())
        return hogs[-1]

    yield hold
    for one in hogs:
        cluster.kill(one)
