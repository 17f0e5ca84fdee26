"""Specs: kinds by name, hints, JSON and pickle."""

import pickle

import pytest

from taskprompt.core.spec import Spec, kind_of, kinds, resolve
from taskprompt.core.task import Task
from taskprompt.recipe.schema import interfaces, one_line


class Inner(Spec):
    depth: int = 1


class Outer(Spec):
    inner: Inner = Inner()
    tasks: dict[str, Task] = {}


def test_every_kind_resolves_and_names_itself():
    listed = [(i, k) for i in interfaces() for k in kinds(i)]
    assert {i for i, _ in listed} == set(interfaces())
    for interface, kind in listed:
        found = resolve(kind, interface)
        assert issubclass(found, interface)
        assert kind_of(found) == kind
        assert len(one_line(found)) > 10, f"{kind} has no docstring"


def test_unknown_kind_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"tasks\.d.*\n.*no task of kind 'depht'\. Did you mean 'depth'\?"):
        Outer.model_validate({"tasks": {"d": {"kind": "depht"}}})


def test_unknown_field_names_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"no such field\. Did you mean 'depth'\? Allowed: depth\."):
        Outer.model_validate({"inner": {"dept": 3}})


def test_all_errors_come_at_once():
    with pytest.raises(ValueError, match="3 validation errors"):
        Outer.model_validate({"inner": {"depth": "deep", "x": 1}, "tasks": {"a": {}}})


def test_json_and_pickle_round_trip_keeps_the_kind():
    outer = Outer.model_validate({"tasks": {"far": {"kind": "depth", "far": 7.0}}})
    assert type(outer.tasks["far"]).__name__ == "Depth"
    assert Outer.model_validate_json(outer.model_dump_json()) == outer
    assert pickle.loads(pickle.dumps(outer)) == outer


def test_own_kind_that_is_not_there_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no module 'mylab.touch' in .*Start in the folder of the module"):
        resolve("mylab.touch:Touch", Task)


def test_own_kind_whose_import_fails_names_the_missing_package(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text(
        "import a_package_that_nobody_has\nfrom taskprompt import Task\nclass Touch(Task): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="needs the package 'a_package_that_nobody_has'"):
        resolve("needy:Touch", Task)
