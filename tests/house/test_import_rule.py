"""Imports go one way, kinds are reached by name alone, and importing taskprompt stays light."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "taskprompt"
KINDS = ("tasks", "sources", "backbones", "prompters", "labelers", "balancers")
CLI = ("cli_bench", "cli_jobs", "cli_kinds", "cli_main", "cli_options", "cli_results", "cli_tables", "cli_weights")
MAY_IMPORT = {  # room -> rooms
    "core": {"core"},
    "nn": {"core", "nn"},
    "video": {"core", "video"},
    **{room: {"core", "nn", "video", room} for room in KINDS},
    "train": {"core", "video", "train"},
    "reporting": {"core", "train", "reporting"},
    "runtime": {"core", "train", "runtime"},
    "testing": {"core", "video", "testing"},
    "notebook": {"core"},
    "progress": {"core", "notebook"},
    "api": {"core", "train", "reporting", "runtime", "progress"},
    "cli": {"core", "train", "reporting", "runtime", "progress", "api", *CLI, ""},
    "cli_main": {"core"},
    "cli_options": {"core", "progress", ""},
    "cli_bench": {"core", "runtime", "cli_options"},
    "cli_tables": {"core", "reporting", "cli_options", ""},
    "cli_results": {"core", "reporting", "progress", "cli_options", ""},
    "cli_jobs": {"cli_options", ""},
    "cli_kinds": {"cli_options", "core"},
    "cli_weights": {"core", ""},
    "__main__": {"cli"},
    "": {"core", "nn", "train", "reporting", "api", "runtime"},  # taskprompt/__init__.py
}
FILES = sorted(PACKAGE.rglob("*.py"))


def dotted(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(file: Path) -> Iterator[str]:
    """All modules that a file imports, also in functions; `from a import b` is a.b where that is a module, else a."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                path = PACKAGE.parent.joinpath(*inner.split("."))
                yield inner if path.with_suffix(".py").exists() or path.is_dir() else str(node.module)


EDGES = [(dotted(file), target) for file in FILES for target in imports(file)]


def test_every_room_has_a_rule_and_files():
    assert {room(dotted(file)) for file in FILES} == set(MAY_IMPORT)
    assert len(MAY_IMPORT) == 27
    assert len(FILES) >= 90
    assert len(EDGES) >= 500


def test_rooms_import_one_way():
    wrong = [
        f"{module} imports {target}"
        for module, target in EDGES
        if target.split(".")[0] == "taskprompt" and room(target) not in MAY_IMPORT[room(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_a_concrete_kind():
    """Within a room of kinds, only helpers (with a leading underscore) are imported."""
    inside = [
        (module, target) for module, target in EDGES if target.split(".")[0] == "taskprompt" and room(target) in KINDS
    ]
    wrong = [f"{m} imports {t}" for m, t in inside if room(m) != room(t) or not t.split(".")[2].startswith("_")]
    assert not wrong, "\n".join(wrong)
    assert len(inside) >= 20


@pytest.mark.parametrize(("package", "where"), [("ray", "runtime"), ("vllm", "labelers")])
def test_who_imports_ray_and_vllm(package, where):
    users = {module for module, target in EDGES if target.split(".")[0] == package}
    assert {room(module) for module in users} <= {where}
    assert (len(users) >= 3) == (package == "ray")


HEAVY = {"torch", "torchvision", "numpy", "scipy", "matplotlib", "PIL", "av", "mujoco", "ray", "vllm", "rich"}
LIGHT = [
    ["-c", "import taskprompt; from taskprompt import TaskPromptError"],
    ["-m", "taskprompt"],
    ["-m", "taskprompt", "--help"],
    ["-m", "taskprompt", "--version"],
    ["-m", "taskprompt", "fit", "-h"],
    ["-m", "taskprompt", "fit", "recipe.yaml", "--owt", "runs/x"],
    ["-m", "taskprompt", "kinds", "task"],
    ["-m", "taskprompt", "check"],
    ["-m", "taskprompt", "check", "nowhere.yaml"],
    ["-m", "taskprompt", "fti"],
    ["-m", "taskprompt", "job", "logs", "some-job"],
    ["-m", "taskprompt", "convert", "a.pth", "--to", "mvit", "--inflate", "mode"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_what_is_light(arguments, tmp_path):
    """PyTorch and the like are imported when a model is built, not to print help or to refuse a command line."""
    environment = {n: v for n, v in os.environ.items() if n != "TASKPROMPT_ADDRESS"}
    command = [sys.executable, "-X", "importtime", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    imported = {
        line.rpartition("|")[2].strip() for line in found.stderr.splitlines() if line.startswith("import time:")
    }
    assert {"taskprompt", "taskprompt.core.errors"} <= imported
    assert not HEAVY & imported
    assert "Traceback" not in found.stderr
