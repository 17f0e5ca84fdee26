"""`fetch` copies a run's own files, and writes below its folder alone."""

import os
import zipfile

import pytest

import taskprompt as tp
from taskprompt.recipe.files import validate


@pytest.fixture
def run(squares, tmp_path):
    squares["stages"] = [{"steps": 1}]
    return tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "run", cluster=None, watch=lambda record: None)


def archive(run, file, **more: str) -> str:
    with zipfile.ZipFile(file, "w") as made:
        for path in run.path.rglob("*"):
            if path.is_file():
                made.write(path, f"run/{path.relative_to(run.path)}")
        for name, text in more.items():
            made.writestr(name, text)
    return f"zip://run::{file}"


def test_links_and_what_is_no_file_are_left_out_and_told(run, tmp_path, capsys):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_text("secret")
    (run.path / "notes").symlink_to(tmp_path / "outside" / "key")
    (run.path / "folder").symlink_to(tmp_path / "outside")
    (run.path / "round").symlink_to(run.path)
    (run.path / "inside").symlink_to("recipe.yaml")
    os.mkfifo(run.path / "pipe")
    copy = tp.fetch(run, tmp_path / "copy")
    told = capsys.readouterr().err
    for name in ("notes", "folder", "round", "pipe"):
        assert not os.path.lexists(copy.path / name)
        assert f"skipped: {name}: " in told
    assert (copy.path / "inside").read_bytes() == (run.path / "recipe.yaml").read_bytes()
    assert not (copy.path / "inside").is_symlink()
    here, there = ({p.relative_to(r.path) for r in [r] for p in r.checkpoint().rglob("*")} for r in (run, copy))
    assert here == there


@pytest.mark.parametrize(
    "name", ["run/../../EVIL", "run/a/../../../EVIL", "run//../EVIL", "run/..\\EVIL", "run/c:\\EVIL"]
)
def test_an_archive_cannot_write_elsewhere(run, tmp_path, monkeypatch, name):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(tp.CheckpointError, match="would be written outside the run's folder"):
        tp.fetch(archive(run, tmp_path / "evil.zip", **{name: "evil"}), tmp_path / "copy")
    assert not [p for p in tmp_path.rglob("*EVIL*")]
    assert not (tmp_path / "copy").exists()


def test_a_folder_that_is_taken_or_cannot_be_written(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(tp.CheckpointError, match="is a file"):
        tp.fetch(run, tmp_path / "file")
    with pytest.raises(tp.CheckpointError, match="is inside of the run"):
        tp.fetch(run, run.path / "copy")
    (tmp_path / "empty").mkdir()
    assert tp.fetch(run, tmp_path / "empty").path == tmp_path / "empty"
    with pytest.raises(tp.CheckpointError, match="is not empty"):
        tp.fetch(run, tmp_path / "empty")

    def full(source, to):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("taskprompt.runs.fetch.shutil.copy2", full)
    before = set(tmp_path.iterdir())
    with pytest.raises(tp.CheckpointError, match="cannot be written: No space left on device"):
        tp.fetch(run, tmp_path / "new")
    assert set(tmp_path.iterdir()) == before
