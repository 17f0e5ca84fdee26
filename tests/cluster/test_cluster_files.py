"""Every file of cluster/ is what its reader takes, agrees with pyproject.toml, and has room for its recipe."""

import copy
import math
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from manifests import COMMANDS, autoscaling, cluster_spec, launcher_problems, manifest_problems, pods
from packaging.requirements import Requirement

from taskprompt.checks.model import check_fits
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.resources import Node, needs, shortage

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "cluster"
FILES = sorted(p.name for p in FOLDER.iterdir())
MANIFESTS = ["raycluster.yaml", "rayjob.yaml", "storage.yaml"]
CLUSTERS = ["autoscaling.yaml", "raycluster.yaml", "rayjob.yaml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROLES = {"decode": "decode", "train": "train"}  # group -> its label taskprompt/role


def load(name: str) -> dict:
    (document,) = yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8"))
    return document


def config(name: str) -> dict:
    """What Ray's autoscaler reads, whichever the way."""
    return load(name) if name == "autoscaling.yaml" else autoscaling(load(name))


def workers(name: str) -> dict[str, dict]:
    """The node types that run tasks."""
    types = config(name)["available_node_types"]
    return {n: t for n, t in types.items() if n != config(name)["head_node_type"]}


def test_how_many():
    assert ["Dockerfile", "README.md", "autoscaling.yaml", "gpus.yaml", "local.sh", *MANIFESTS] == FILES


def test_nothing_of_it_is_imported():
    code = [p.read_text(encoding="utf-8") for p in (ROOT / "taskprompt").rglob("*.py")]
    assert len(code) >= 90
    assert not [text for text in code if re.search(r"(from|import) cluster\b", text)]


def test_the_launcher_file_is_taken():
    assert launcher_problems(load("autoscaling.yaml")) == []
    assert sum(len(load("autoscaling.yaml").get(group, [])) for group in COMMANDS) == 8


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifest_is_taken(name):
    assert manifest_problems(load(name)) == []


def planted(document: dict, path: str, value) -> dict:
    """A copy with one thing changed; a path's last part may be new."""
    changed = copy.deepcopy(document)
    *parents, last = path.split("/")
    node = changed
    for parent in parents:
        node = node[int(parent)] if isinstance(node, list) else node[parent]
    node[last] = value
    return changed


GPU_POD = "spec/workerGroupSpecs/1/template/spec"


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("autoscaling.yaml", "max_wokers", 3, "'max_wokers' was unexpected"),
        ("autoscaling.yaml", "max_workers", "4", "'4' is not of type 'integer'"),
        ("autoscaling.yaml", "head_node_type", "haed", "must be one of"),
        ("autoscaling.yaml", "available_node_types/train/idle_timeout_minutes", 3, "unexpected"),
        ("autoscaling.yaml", "available_node_types/train/min_workers", 9, "smaller than the sum"),
        ("autoscaling.yaml", "available_node_types/train/node_config/InstanceTyp", "g6", "InstanceTyp"),
        ("autoscaling.yaml", "available_node_types/train/node_config/KeyName", 3, "KeyName"),
        ("autoscaling.yaml", "setup_commands", ["grep -q 'a b || true"], "unexpected EOF"),
        ("raycluster.yaml", "spec/enableInTreeAutoscalling", True, "Extra inputs"),
        ("raycluster.yaml", "spec/rayVersion", 2.6, "valid string"),
        ("raycluster.yaml", "spec/headGroupSpec/rayStartParams/num-cpus", 0, "valid string"),
        ("raycluster.yaml", "spec/workerGroupSpecs/0/maxReplicas", -1, "greater than or equal"),
        ("raycluster.yaml", "spec/workerGroupSpecs/0/replicas", 3, "minReplicas <= replicas"),
        ("raycluster.yaml", "spec/workerGroupSpecs/0/rayStartParams/labels", "a=b", "belong into `labels`"),
        ("raycluster.yaml", "spec/workerGroupSpecs/0/labels", {"task prompt": "x"}, "match pattern"),
        ("raycluster.yaml", f"{GPU_POD}/containers/0/imag", "x", "'imag' was unexpected"),
        ("raycluster.yaml", f"{GPU_POD}/containers/0/resources/limits/memory", "160GB", "'160GB' is no amount"),
        ("raycluster.yaml", f"{GPU_POD}/volumes/1/emptyDir/sizeLimit", "48Gib", "'48Gib' is no amount"),
        ("raycluster.yaml", f"{GPU_POD}/volumes", [], "no volume 'shared' to mount"),
        ("raycluster.yaml", f"{GPU_POD}/containers/0/resources", {}, "failed to detect `CPU` resources"),
        ("rayjob.yaml", "spec/ttlSecondsAfterFinish", 3, "Extra inputs"),
        ("rayjob.yaml", "spec/shutdownAfterJobFinishes", False, "does nothing without"),
        ("rayjob.yaml", "metadata/name", "both", "one of name and generateName"),
        ("storage.yaml", "spec/accessMode", ["ReadWriteMany"], "'accessMode' was unexpected"),
        ("storage.yaml", "spec/resources/requests/storage", "1TB", "'1TB' is no amount"),
    ],
)
def test_a_planted_mistake_is_found(name, path, value, words):
    check = launcher_problems if name == "autoscaling.yaml" else manifest_problems
    found = check(planted(load(name), path, value))
    assert found
    assert words in "\n".join(found)


def test_the_job_has_the_cluster_of_the_cluster_file():
    assert cluster_spec(load("rayjob.yaml")) == cluster_spec(load("raycluster.yaml"))


@pytest.mark.parametrize("name", CLUSTERS)
def test_nodes_say_what_they_are_for(name):
    found = workers(name)
    assert {n: t["labels"]["taskprompt/role"] for n, t in found.items()} == ROLES
    assert found["decode"]["resources"].get("GPU", 0) == 0
    assert found["train"]["resources"]["GPU"] == 4
    assert config(name)["available_node_types"][config(name)["head_node_type"]]["resources"]["CPU"] == 0
    assert all(t["min_workers"] == 0 for t in found.values())  # idle, it costs its head
    assert config(name)["idle_timeout_minutes"] == 10


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_recipe_fits(name):
    """Into the most nodes that there may be, each worker and each data task on a node of its label."""
    recipe = Recipe.load(FOLDER / "gpus.yaml")
    check_fits(recipe)
    assert needs(recipe)[:2] == (48, 4)
    types = workers(name)
    assert sum(t["max_workers"] for t in types.values()) <= config(name)["max_workers"]
    every = [
        Node(kind["resources"]["CPU"], kind["resources"].get("GPU", 0), kind["labels"])
        for kind in types.values()
        for _ in range(kind["max_workers"])
    ]
    assert shortage(recipe, 4, every) is None
    assert shortage(recipe, 4, [n for n in every if n.gpus]) is not None  # decoding has nodes of its own
    on_one = math.floor(types["train"]["resources"]["CPU"] / recipe.runtime.cpus_per_worker)
    assert on_one >= types["train"]["resources"]["GPU"]  # no GPU is left without CPUs


def test_the_job_trains_that_recipe():
    words = load("rayjob.yaml")["spec"]["entrypoint"].split()
    assert words[:3] == ["taskprompt", "fit", "/home/ray/cluster/gpus.yaml"]
    mounts = {
        m["mountPath"] for _, pod in pods(load("rayjob.yaml")) for m in pod["spec"]["containers"][0]["volumeMounts"]
    }
    assert any(words[words.index("--out") + 1].startswith(f"{mount}/") for mount in mounts)
    assert "--resume" in words  # or a second cluster would be refused the run of the first


def test_pods_share_the_claim_and_have_room_for_objects():
    claim = load("storage.yaml")["metadata"]["name"]
    for name in ("raycluster.yaml", "rayjob.yaml"):
        found = pods(load(name))
        assert len(found) == 3
        for group, pod in found:
            volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
            assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim
            assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
            mounts = {m["name"]: m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
            assert (mounts["shm"], mounts["shared"]) == ("/dev/shm", "/mnt/shared")
            amounts = pod["spec"]["containers"][0]["resources"]
            assert amounts["requests"] == amounts["limits"], group


def test_versions_are_those_of_the_project():
    (ray,) = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "ray"]
    docker = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    (in_image,) = re.findall(r"^ARG RAY=(\S+)$", docker, re.MULTILINE)
    assert in_image in ray.specifier
    assert f"ray[{','.join(sorted(ray.extras))}]==${{RAY}}" in docker
    assert {cluster_spec(load(n))["rayVersion"] for n in ("raycluster.yaml", "rayjob.yaml")} == {in_image}
    (python,) = re.findall(r"^FROM python:(\S+)-slim$", docker, re.MULTILINE)
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"{python}.1")
    images = {pod["spec"]["containers"][0]["image"] for _, pod in pods(load("raycluster.yaml"))}
    assert images == {"REGISTRY/taskprompt:TAG"}
    assert f"-t {images.pop()} " in docker


def test_the_image_copies_what_is_there_and_all_that_the_build_wants():
    lines = re.findall(r"^COPY (?:--\S+ )?(.+)$", (FOLDER / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [source for line in lines for source in line.split()[:-1]]
    assert len(copied) == 6
    assert all((ROOT / source).exists() for source in copied)
    assert {"pyproject.toml", PROJECT["readme"], "taskprompt", "recipes", "cluster/gpus.yaml"} <= set(copied)


def test_scripts_are_sound():
    scripts = [p for p in FOLDER.iterdir() if p.suffix == ".sh"]
    assert len(scripts) == 1
    for script in scripts:
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert script.stat().st_mode & 0o111


def test_every_file_says_its_command():
    for name in (n for n in FILES if n != "README.md"):
        header = (FOLDER / name).read_text(encoding="utf-8").splitlines()[:12]
        assert any(re.match(r"^# +\S.*cluster/", line) for line in header if line.startswith("#   ")), name


def test_the_page_names_every_file_and_none_that_is_not_there():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [n for n in FILES if f"`{n}`" not in text and n != "README.md"] == []
    named = re.findall(r"cluster/([\w.]+\.\w+)", text)
    assert len(named) >= 15
    assert set(named) <= {*FILES, "cluster.md"}
    links = re.findall(r"\]\(([^)#\s]+)", text)
    assert len(links) == 1
    assert all((FOLDER / link).is_file() for link in links)
    commands = re.findall(r"^(?:kubectl|ray|cluster/local.sh|taskprompt|export) .*$", text, re.MULTILINE)
    assert len(commands) == 21
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
