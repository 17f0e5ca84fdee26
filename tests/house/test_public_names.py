"""The public names: importable, documented, sorted, and no others."""

import ast
import inspect
from pathlib import Path

import pytest

import taskprompt
import taskprompt.testing
from taskprompt.core.types import Batch, Boxes, Camera, Clip, Joints, Map, Points, Row, Sample, Vectors

WITHOUT_DOCSTRING = {"Row"}  # a type alias


VERBS = [
    "check",
    "compare",
    "convert",
    "evaluate",
    "fetch",
    "fit",
    "jobs",
    "predict",
    "profile",
    "report",
    "submit",
    "tune",
]


def test_they_are_sorted():
    assert sorted(taskprompt.__all__) == list(taskprompt.__all__)


def test_type_checkers_see_the_names_that_are_imported_when_used():
    tree = ast.parse(Path(taskprompt.__file__).read_text(encoding="utf-8"))
    found = {a.name: n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    seen = {name: module for name, module in found.items() if str(module).startswith("taskprompt.")}
    assert seen.keys() == set(taskprompt.__all__)
    assert {
        n: m for n, m in seen.items() if m not in ("taskprompt.core", "taskprompt.core.errors")
    } == taskprompt._HOMES


def test_the_package_names_what_it_has():
    assert {*taskprompt.__all__, "testing", "__version__"} <= set(dir(taskprompt))
    assert taskprompt.testing.check_task
    with pytest.raises(AttributeError, match="has no attribute 'Recipee'"):
        taskprompt.Recipee  # noqa: B018


@pytest.mark.parametrize("name", taskprompt.__all__)
def test_a_public_name_is_documented(name):
    thing = getattr(taskprompt, name)
    if name in WITHOUT_DOCSTRING:
        return
    doc = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert doc, f"{name} has no docstring"
    assert not doc.startswith(f"{name}("), f"{name} has the docstring that dataclasses make"


@pytest.mark.parametrize("name", VERBS)
def test_public_methods_and_verbs_have_types(name):
    signature = inspect.signature(getattr(taskprompt, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_the_checks_for_users():
    found = {n for n in vars(taskprompt.testing) if n.startswith("check_")}
    interfaces = ("task", "source", "backbone", "prompter", "labeler", "balancer", "tracker")
    assert found == {f"check_{name}" for name in interfaces}
    assert all(getattr(taskprompt.testing, n).__doc__ for n in found)


def test_the_records_are_those_of_core():
    records = (Batch, Boxes, Camera, Clip, Joints, Map, Points, Row, Sample, Vectors)
    assert all(any(getattr(taskprompt, n) is r for n in taskprompt.__all__) for r in records)
