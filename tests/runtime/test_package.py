"""What travels with a job, and what it says where the Python that it meets lacks something."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import taskprompt as tp
from taskprompt.runtime import package, start

SUPPORT = str(Path(__file__).parents[1] / "support")


def test_a_package_holds_the_own_modules_and_what_they_import(tmp_path, monkeypatch, squares):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "sent" / "deep").mkdir(parents=True)
    (tmp_path / "sent" / "deep" / "kinds.py").write_text("import os\nimport numpy\nfrom sent_too import X\n")
    (tmp_path / "sent" / "words.txt").write_text("of the package")
    (tmp_path / "sent_too.py").write_text("X = 1\n")
    (tmp_path / "unsent.py").write_text("")
    (tmp_path / "data" / ".git").mkdir(parents=True)
    (tmp_path / "data" / ".gitignore").write_text("*")
    (tmp_path / "data" / ".git" / "config").write_text("")
    squares["tasks"]["own"] = {"kind": "sent.deep.kinds:Own"}
    first = package.write_package(tmp_path / "a.zip", squares, ["data", Path(SUPPORT, "squares.py")])
    with zipfile.ZipFile(first) as found:
        names = {n for n in found.namelist() if not n.startswith("taskprompt/")}
        assert yaml.safe_load(found.read("submitted.yaml")) == squares
        assert {"taskprompt/cli.py", "taskprompt/reporting/page.html.jinja"} <= set(found.namelist())
    assert names == {
        "submitted.yaml",
        "start_taskprompt.py",
        "squares.py",
        "sent/deep/kinds.py",
        "sent/words.txt",
        "sent_too.py",
        "data/.gitignore",
    }
    again = package.write_package(tmp_path / "b.zip", squares, ["data"])
    assert first.read_bytes() == again.read_bytes()  # else Ray would take the same package twice


def test_a_package_too_large_or_with_two_of_a_name_is_refused(tmp_path, monkeypatch, squares):
    monkeypatch.chdir(tmp_path)
    with open(tmp_path / "clip.mp4", "wb") as file:
        file.truncate(101 << 20)
    with pytest.raises(
        tp.JobError, match=r"10\d\.\d MB in \d+ files.* takes 100 MB. The largest: clip.mp4 \(101.0 MB\)"
    ):
        package.write_package(tmp_path / "a.zip", squares, ["clip.mp4"])
    (tmp_path / "squares.py").write_text("")
    with pytest.raises(tp.JobError, match=r"two files as 'squares.py'"):
        package.write_package(tmp_path / "a.zip", squares, ["squares.py"])


def test_relative_weights_are_sent_along_or_refused(tmp_path, monkeypatch, squares):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "a.pyth").touch()
    squares["weights"] = {"path": "init/a.pyth"}
    with pytest.raises(
        tp.JobError, match=r"^weights.path init/a.pyth: is relative.* Add `ship` init/a.pyth, or give an"
    ):
        package.write_package(tmp_path / "a.zip", squares)
    for ship in (["init/a.pyth"], ["init"]):
        with zipfile.ZipFile(package.write_package(tmp_path / "a.zip", squares, ship)) as found:
            assert "init/a.pyth" in found.namelist()
    for path in ("/shared/a.pyth", "~/a.pyth"):
        package.write_package(tmp_path / "a.zip", squares | {"weights": {"path": path}})


def test_a_python_that_lacks_something_says_what():
    bare_python = [sys.executable, "-I", "-S", str(start.__file__), "fit"]
    found = subprocess.run(bare_python, capture_output=True, text=True)
    assert found.returncode == 1
    assert re.fullmatch(r"taskprompt: \S+ of the cluster, Python 3.\d+, has no module 'ray'. Name .*\n", found.stderr)
