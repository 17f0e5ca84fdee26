"""Imports go one way, without circles, kinds are reached by name alone, and importing taskprompt stays light."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from packages import FILES, KINDS, MAY_IMPORT, PACKAGE, dotted, first_paragraph, imports, package_of, table

EDGES = [(dotted(file), target) for file in FILES for target in imports(file) if target.split(".")[0] == "taskprompt"]
OUTSIDE = [(dotted(file), target.split(".")[0]) for file in FILES for target in imports(file)]


def test_packages_import_one_way():
    assert {package_of(dotted(file)) for file in FILES} == set(MAY_IMPORT)
    order = list(MAY_IMPORT)
    for name, others in MAY_IMPORT.items():
        assert all(order.index(o) < order.index(name) for o in others if o != "taskprompt"), name
    wrong = [f"{m} imports {t}" for m, t in EDGES if package_of(t) not in (package_of(m), *MAY_IMPORT[package_of(m)])]
    assert not wrong, "\n".join(wrong)
    assert len(EDGES) >= 600


def circles() -> Iterator[list[str]]:
    """Files that import each other, whatever the way round: the strongly connected parts (Tarjan)."""
    graph: dict[str, set[str]] = {dotted(file): set() for file in FILES}
    for module, target in EDGES:
        graph[module].add(target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> Iterator[list[str]]:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module] - {module}:
            if other not in index:
                yield from visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            part = [*stack[stack.index(module) :]]
            del stack[stack.index(module) :]
            if len(part) > 1:
                yield part

    for module in graph:
        if module not in index:
            yield from visit(module)


def test_no_files_import_each_other_in_a_circle():
    assert [*circles()] == []


def test_every_folder_says_what_belongs_there():
    folders = [f.parent for f in FILES if f.name == "__init__.py"]
    assert {f.parent for f in FILES} == set(folders)
    for folder in folders:
        text = first_paragraph(str(folder.relative_to(PACKAGE)))
        assert 20 <= len(text) <= 240, f"{folder}: {text!r}"


def test_the_docs_have_the_same_table():
    page = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")
    assert table() in page, "Run: python docs/make_fields.py"


def test_no_module_imports_a_concrete_kind():
    """Within a package of kinds, only helpers (with a leading underscore) are imported."""
    inside = [(module, target) for module, target in EDGES if package_of(target) in KINDS]
    wrong = [
        f"{m} imports {t}" for m, t in inside if package_of(m) != package_of(t) or not t.split(".")[2].startswith("_")
    ]
    assert not wrong, "\n".join(wrong)
    assert len(inside) >= 20


@pytest.mark.parametrize(("package", "where"), [("ray", {"runtime"}), ("vllm", {"labelers"})])
def test_who_imports_ray_and_vllm(package, where):
    users = {module for module, target in OUTSIDE if target == package}
    assert {package_of(module) for module in users} <= where
    assert (len(users) >= 3) == (package == "ray")


def test_one_file_names_private_modules_of_ray():
    """Names, too: in text, and attributes that begin with an underscore of what was imported from ray."""
    private = re.compile(r"\bray(\.\w+)*\._\w+|_register_sigint_handler|\bray\w*\._[a-z]\w*", re.IGNORECASE)
    users = {dotted(f): found[0] for f in FILES if (found := private.search(f.read_text(encoding="utf-8")))}
    assert set(users) == {"taskprompt.runtime.cluster._ray_private"}, users


HEAVY = {"torch", "torchvision", "numpy", "scipy", "matplotlib", "PIL", "av", "mujoco", "ray", "vllm", "rich"}
OF_A_FILE = ("check", "fit", "label", "tune", "render", "submit", "profile", "report")
LIGHT = [
    ["-c", "import taskprompt; from taskprompt import TaskPromptError"],
    ["-m", "taskprompt"],
    ["-m", "taskprompt", "--help"],
    ["-m", "taskprompt", "--version"],
    ["-m", "taskprompt", "fit", "-h"],
    ["-m", "taskprompt", "fit", "recipe.yaml", "--owt", "runs/x"],
    ["-m", "taskprompt", "kinds", "task"],
    ["-m", "taskprompt", "check"],
    ["-m", "taskprompt", "fti"],
    ["-m", "taskprompt", "job", "logs", "some-job"],
    ["-m", "taskprompt", "convert", "a.pth", "--to", "mvit", "--inflate", "mode"],
    *(["-m", "taskprompt", verb, "nowhere.yaml"] for verb in OF_A_FILE),
    *(["-m", "taskprompt", verb, "nowhere", "there"] for verb in ("predict", "fetch", "compare")),
    ["-m", "taskprompt", "evaluate", "nowhere"],
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
