"""Kinds that installed packages announce: real distributions on the path, as pip lays them down."""

import json
import subprocess
import sys
import zipfile

import pytest

import taskprompt as tp
from taskprompt.cli.main import main
from taskprompt.core.spec import builtin_kinds, kind_of, kinds, resolve
from taskprompt.recipe.files import dump, validate
from taskprompt.recipe.schema import recipe_schema
from taskprompt.runtime.jobs.package import contents, pack

TASK = """
from taskprompt import Task


class {name}(Task):
    \"\"\"Whether a hand touches something.\"\"\"

    threshold: float = 0.5

    def target(self, label, sample): ...
    def head(self, dims): ...
    def loss(self, output, target): ...
    def metrics(self, output, target): ...
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install(package, entry points, {file: text}) -> the folder that it was installed to, now on the path."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def lay(package: str, entry_points: str, files: dict[str, str] | None = None):
        info = site / f"{package.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(entry_points)
        for name, text in (files or {}).items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        # What was on the path before has been read already, so that it counts as another path from now on.
        other = tmp_path / f"after-{package}"
        other.mkdir()
        monkeypatch.syspath_prepend(str(other))
        return site

    yield lay
    for name in [n for n in sys.modules if n.startswith("plug_")]:
        del sys.modules[name]


def announce(**names: str) -> str:
    return "[taskprompt.tasks]\n" + "".join(f"{kind} = {place}\n" for kind, place in names.items())


def test_an_announced_kind_is_one_like_ours(install, squares, capsys):
    """By its short name in a recipe and back, in the schema, among the known ones, and in `taskprompt kinds`."""
    install("plug-hands", announce(touch="plug_hands.touch:Touch"), {"plug_hands/touch.py": TASK.format(name="Touch")})
    assert kinds(tp.Task) == sorted([*builtin_kinds(tp.Task), "touch"])
    assert "plug_hands" not in sys.modules  # known, and not imported
    squares["tasks"]["hands"] = {"kind": "touch", "threshold": 0.7, "label": "action"}
    recipe = validate(squares, "r", tp.Recipe)
    assert type(recipe.tasks["hands"]).__module__ == "plug_hands.touch"
    assert kind_of(type(recipe.tasks["hands"])) == "touch"
    assert "kind: touch" in dump(recipe)
    squares["tasks"]["hands"]["kind"] = "plug_hands.touch:Touch"  # the same, by its class
    assert validate(squares, "r", tp.Recipe) == recipe
    assert '"const": "touch"' in json.dumps(recipe_schema())
    with pytest.raises(tp.SpecError, match=r"kind 'tuch'. Did you mean 'touch'\? Known: .*touch; or your own"):
        resolve("tuch", tp.Task)
    main_of("kinds")
    assert "Whether a hand touches something. (from plug-hands)" in capsys.readouterr().out


def main_of(*words: str) -> None:
    sys.argv = ["taskprompt", *words]
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        ("plug_bad.kind:Touch", "raise RuntimeError('run')", r"plug_bad/kind.py defines no class 'Touch'"),
        (
            "plug_bad.kind:Touch",
            "class Touch: ...",
            "is not derived from a class of taskprompt, so it was not imported",
        ),
        ("plug_bad.kind", "", r"expected package.module:Class, names of Python joined by dots"),
        ("os:system", "", "'os:system': the module defines no class 'system'"),
        ("plug_none:Touch", "", "there is no module 'plug_none'"),
    ],
)
def test_a_package_is_not_imported_before_its_class_was_found(install, capsys, place, text, words):
    install("plug-bad", announce(bad=place), {"plug_bad/kind.py": text})
    with pytest.raises(tp.SpecError, match=f"^'bad' of the package plug-bad: .*{words}"):
        resolve("bad", tp.Task)
    assert "plug_bad.kind" not in sys.modules
    main_of("kinds")  # lists the others
    assert "cannot be used: 'bad' of the package plug-bad" in " ".join(capsys.readouterr().out.split())


def test_a_name_that_several_have_is_refused(install):
    """Ours and that of a package; that of two packages. All other kinds work."""
    names = announce(depth="plug_one:Depth", touch="plug_one:Touch")
    install("plug-one", names, {"plug_one.py": TASK.format(name="Depth")})
    install("plug-two", announce(touch="plug_two:Touch"))
    with pytest.raises(tp.SpecError) as ours:
        resolve("depth", tp.Task)
    assert str(ours.value) == (
        "kind 'depth': is declared by taskprompt and by plug-one, expected one. Uninstall the other, or name "
        "the class: plug_one:Depth."
    )
    with pytest.raises(tp.SpecError, match=r"by plug-one and by plug-two, .*: plug_one:Touch or plug_two:Touch"):
        resolve("touch", tp.Task)
    assert kind_of(resolve("plug_one:Depth", tp.Task)) == "plug_one:Depth"
    assert resolve("action", tp.Task).__name__ == "Action"


def test_a_package_of_which_an_older_version_lies_behind_counts_once(install, tmp_path, monkeypatch):
    site = install("plug-old", announce(touch="plug_old:Touch"), {"plug_old.py": TASK.format(name="Touch")})
    (site / "plug_old-1.2.dist-info").rename(tmp_path / "plug_old-1.1.dist-info")
    monkeypatch.syspath_prepend(str(tmp_path))
    install("Plug_Old", announce(touch="plug_old:Touch"))
    assert kind_of(resolve("touch", tp.Task)) == "touch"


def test_a_submitted_job_expects_the_package_there(install, squares, tmp_path):
    """It is not sent; where it is missing, the job's first line says so."""
    install("plug-hands", announce(touch="plug_hands.touch:Touch"), {"plug_hands/touch.py": TASK.format(name="Touch")})
    squares["tasks"]["hands"] = {"kind": "touch"}
    found = contents(squares)
    assert "  expected on the cluster: package plug-hands, of kind touch" in found.lines()
    assert not any(name.startswith("plug") for name in found.files)
    with zipfile.ZipFile(pack(tmp_path / "a.zip", found)) as package:
        package.extractall(tmp_path / "job")
    start = [sys.executable, "start_taskprompt.py", "kinds"]
    job = subprocess.run(start, cwd=tmp_path / "job", capture_output=True, text=True)
    assert (job.returncode, job.stdout) == (1, "")
    words = "lacks the package plug-hands, which declares the kind 'touch'. Install it on all machines there.\n"
    assert job.stderr.endswith(words)
