"""Ray's own autoscaler, with nodes that are processes of this machine: a cluster without CPUs grows to what a recipe
asks for, and the nodes are of the kinds that cluster/autoscaling.yaml names."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from ports import free_port

from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.autoscale import pieces

ROOT = Path(__file__).parents[2]
SUPPORT = str(ROOT / "tests" / "support")
HEAD = "f" * 51 + "00000"  # the name that Ray's provider of pretended nodes has for the head
DRIVER = """
import json, sys, ray, taskprompt as tp
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
before = ray.cluster_resources().get("CPU", 0)
recipe = tp.Recipe.load(sys.argv[2])
try:
    large = tp.Recipe.load(sys.argv[2], ["runtime.cpus_per_worker=99", "runtime.wait=1"])
    tp.fit(large, sys.argv[3] + "-large", cluster=sys.argv[1], watch=lambda record: None)
except tp.ClusterError as error:
    refusal = str(error)
run = tp.fit(recipe, sys.argv[3], cluster=sys.argv[1], watch=lambda record: None)
after = ray.cluster_resources()["CPU"]

@ray.remote(num_gpus=1, label_selector={"taskprompt/role": "train"})
def role():
    return ray.get_runtime_context().get_node_labels()["taskprompt/role"]

steps = len(run.lines("metrics.jsonl"))
print(refusal, file=sys.stderr)
print(json.dumps({"before": before, "after": after, "steps": steps, "role": ray.get(role.remote())}))
"""


@pytest.fixture
def growing(tmp_path):
    """The address of a head without CPUs, whose autoscaler may add the nodes of cluster/autoscaling.yaml."""
    port = free_port(7300)
    config = yaml.safe_load((ROOT / "cluster" / "autoscaling.yaml").read_text())
    for name, kind in config["available_node_types"].items():
        kind["node_config"] = {}
        if name != "head":
            kind["resources"] |= {"CPU": 6, "object_store_memory": 256 << 20}  # smaller: these share one machine
    provider = {"type": "fake_multinode", "gcs_address": f"127.0.0.1:{port}", "head_node_id": HEAD}
    types = config["available_node_types"]
    types["ray.head.default"] = types.pop("head")
    changes = {"provider": provider | {"disable_node_updaters": True}, "head_node_type": "ray.head.default", "auth": {}}
    changes |= {name: {} for name in ("file_mounts", "docker")} | {"cluster_synced_files": [], "upscaling_speed": 1.0}
    changes |= {f"{group}_commands": [] for group in ("initialization", "setup", "head_setup", "worker_setup")}
    changes |= {f"{group}_start_ray_commands": [] for group in ("head", "worker")}
    (tmp_path / "autoscaling.yaml").write_text(yaml.safe_dump(config | changes))

    folder = tempfile.mkdtemp(prefix="grow")  # short: it becomes a part of the names of sockets
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--port", str(port)]
    command += ["--num-cpus", "0", "--include-dashboard", "false", "--dashboard-agent-listen-port", "0"]
    command += ["--ray-client-server-port", str(port + 14000), "--object-store-memory", str(256 << 20)]
    command += ["--temp-dir", folder, "--autoscaling-config", str(tmp_path / "autoscaling.yaml")]
    environ = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_AUTH_MODE": "disabled"}
    environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_worker_prestart": "0", "PYTHONPATH": SUPPORT}
    said = tmp_path / "head.log"
    for _ in range(3):  # Ray gives itself 30 s to start, and others may be at work here
        with said.open("wb") as log:
            head = subprocess.Popen(command, env=os.environ | environ, stdout=log, stderr=log, start_new_session=True)
        while head.poll() is None and b"Ray runtime started" not in said.read_bytes():
            time.sleep(0.2)
        if head.poll() is None:
            break
    assert head.poll() is None, said.read_text()
    yield f"127.0.0.1:{port}"
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    shutil.rmtree(folder, ignore_errors=True)


def test_pieces_are_workers_and_data_tasks(squares):
    squares["runtime"] |= {"workers": 2, "gpu": True, "cpus_per_worker": 1.5, "data_workers": 2}
    squares["runtime"] |= {"worker_labels": {"role": "train"}}
    found, labels = pieces(validate(squares, "r", Recipe), 2)
    assert labels == [{"role": "train"}] * 2 + [{}] * 8
    assert found[:2] == [{"CPU": 1.5, "GPU": 1}] * 2
    assert found[2:] == [{"CPU": 1}] * (2 * 2 * 2)  # workers x sources x tasks


def test_a_cluster_grows_to_what_the_recipe_asks_for(growing, squares, tmp_path):
    squares["runtime"] |= {"data_workers": 2, "wait": 120, "autoscale": True}
    squares["runtime"] |= {"data_labels": {"taskprompt/role": "decode"}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
    command = [sys.executable, "-c", DRIVER, growing, str(tmp_path / "r.yaml"), str(tmp_path / "run")]
    environ = os.environ | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": SUPPORT}
    driver = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240)
    assert driver.returncode == 0, driver.stderr
    assert "after 1 s of waiting (runtime.wait): the recipe requests 1 workers x 99 CPUs" in driver.stderr
    found = json.loads(driver.stdout)
    assert found == {"before": 0, "after": 6, "steps": 6, "role": "train"}  # one node to decode; then one for the GPU
