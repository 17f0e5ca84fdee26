"""A user's own kinds: found in every layout of a package, and never imported before the source is known to be one."""

import sys

import pytest

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import resolve
from taskprompt.core.task import Task

TRACE = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """file -> text, written where a user works; what was imported is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/").replace("/init", "/__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(TRACE + text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def ran(folder) -> list[str]:
    return sorted(p.name for p in folder.rglob("*.ran"))


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("ownkind:Touch", {"ownkind": "from taskprompt import Task\nclass Touch(Task): ...\n"}),
        ("ownkind:Touch", {"ownkind": "import taskprompt as tp\nclass Touch(tp.Task): ...\n"}),
        ("ownkind:Touch", {"ownkind": "import taskprompt.core.task\nclass Touch(taskprompt.core.task.Task): ...\n"}),
        ("ownkind:Touch", {"ownkind": "from taskprompt import *\nclass Touch(Task): ...\n"}),
        ("ownkind:Touch", {"ownkind": "from taskprompt.tasks.depth import Depth\nclass Touch(Depth): ...\n"}),
        (
            "ownkind:Touch",
            {"ownkind": "try:\n  from taskprompt import Task\nfinally: ...\nclass A(Task): ...\nclass Touch(A): ...\n"},
        ),
        ("ownpkg.touch:Touch", {"ownpkg__touch": "from taskprompt import Task\nclass Touch(Task): ...\n"}),  # namespace
        ("ownpkg.a.touch:Touch", {"ownpkg__a__touch": "from taskprompt import Task\nclass Touch(Task): ...\n"}),
        (
            "ownpkg.sub.touch:Touch",
            {
                "ownpkg__init": "from .base import Base\n",
                "ownpkg__base": "from taskprompt import Task\nBasis = Task\nclass Base(Basis): ...\n",
                "ownpkg__sub__init": "",
                "ownpkg__sub__touch": "import ownpkg\nclass Touch(ownpkg.Base): ...\n",
            },
        ),
        (
            "ownpkg.touch:Touch",
            {
                "ownpkg__init": "",
                "ownpkg__base": "from taskprompt import Task\ndef made(base): return base\nBase = made(Task)\n",
                "ownpkg__touch": "from . import base\nclass Touch(base.Base): ...\n",
            },
        ),
        ("ownpkg:Touch", {"ownpkg__init": "from taskprompt import Task\nclass Touch(Task): ...\n"}),
    ],
)
def test_a_kind_is_found_in_every_layout(modules, kind, files):
    modules(**files)
    found = resolve(kind, Task)
    assert f"{found.__module__}:{found.__name__}" == kind
    assert resolve(kind, Task) is found


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (".plain:Plain", "expected package.module:Class"),
        ("..plain:Plain", "expected package.module:Class"),
        ("plain:", "expected package.module:Class"),
        (":Plain", "expected package.module:Class"),
        ("plain:Plain:Plain", "expected package.module:Class"),
        ("plain:Plain.Inner", "expected package.module:Class"),
        ("a-b:Plain", "expected package.module:Class"),
        ("plain.:Plain", "expected package.module:Class"),
        ("class:Plain", "expected package.module:Class"),
        ("/plain:Plain", "expected package.module:Class"),
        ("plain\x00:Plain", "expected package.module:Class"),
        ("a" * 5000 + ":Plain", "expected package.module:Class"),
        ("antigravity:Plain", "'antigravity' is a module of Python itself"),
        ("this:Plain", "'this' is a module of Python itself"),
        ("idlelib.idle:Plain", "'idlelib' is a module of Python itself"),
        ("taskprompt.sources._scenes.render_all:Plain", "the module is a private one"),
        ("plain.__init__:Plain", "the module is a private one"),
        ("nowhere.at_all:Plain", "there is no module 'nowhere.at_all'"),
        ("plain:Plian", "defines no class 'Plian'. Did you mean 'Plain'? Defined: Plain, Odd"),
        ("plain:Plain", "not derived from a class of taskprompt"),
        ("plain:Odd", "not derived from a class of taskprompt"),
        ("circle_a:A", "not derived from a class of taskprompt"),
        ("broken:A", "cannot be read as Python"),
        ("ruff:Plain", "defines no class 'Plain'"),
    ],
)
def test_what_is_no_kind_is_refused_and_not_imported(modules, tmp_path, kind, words):
    modules(
        plain="import collections\nfrom unittest import TestCase\nclass Plain: ...\nclass Odd(TestCase): ...\n",
        circle_a="from circle_b import B\nclass A(B): ...\n",
        circle_b="from circle_a import A\nclass B(A): ...\n",
        broken="class A(:\n",
    )
    before = set(sys.modules)
    with pytest.raises(SpecError) as caught:
        resolve(kind, Task)
    assert words in str(caught.value)
    assert ran(tmp_path) == []
    assert {m for m in set(sys.modules) - before if not m.startswith("taskprompt")} == set()


def test_another_interface_is_refused_with_the_kinds_that_are_there(modules):
    text = "import taskprompt as tp\nclass Hands(tp.Source): ...\nclass Touch(tp.Task): ...\n"
    modules(ownkind=text)
    with pytest.raises(SpecError, match=r"Hands is not a Task. Kinds of Task there: Touch"):
        resolve("ownkind:Hands", Task)
    with pytest.raises(SpecError, match=r"defines no class 'Tuch'. Did you mean 'Touch'\?"):
        resolve("ownkind:Tuch", Task)
    with pytest.raises(SpecError, match=r"Path is not a Task"):  # of an imported module, but not its own
        resolve("ownkind:Path", Task)


def test_a_kind_whose_code_fails_says_so(modules):
    modules(ownkind="from taskprompt import Task\n1 / 0\nclass Touch(Task): ...\n")
    with pytest.raises(SpecError, match=r"importing ownkind failed: ZeroDivisionError: division by zero"):
        resolve("ownkind:Touch", Task)


def test_the_class_of_a_script_is_a_kind(monkeypatch):
    """Its module is imported already, under a name that no file has."""
    touch = type("Touch", (Task,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Touch", touch, raising=False)
    assert resolve("__main__:Touch", Task) is touch
