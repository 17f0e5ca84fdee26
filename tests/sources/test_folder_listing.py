"""What a folder lists: links, locked folders, names, cells of a csv, and classes that cannot be right."""

import json
import os

import numpy as np
import pytest
from greys import CLIP, FRAMES, video
from pydantic import ValidationError

from taskprompt.core.errors import ErrorRecord, SourceError
from taskprompt.core.moment import Middle
from taskprompt.core.task import Task
from taskprompt.core.types import Clip, Dims, Map, Sample
from taskprompt.data.reader import Reader, table_of
from taskprompt.labels.join import all_labels
from taskprompt.recipe.files import validate
from taskprompt.sources.folder import Folder
from taskprompt.video.store import write_sample


def keys(path, **options):
    return [row["key"] for row in Folder.model_validate({"path": str(path), **options}).rows()]


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def table(path, text):
    (path / "l.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return [*Folder.model_validate({"path": str(path), "csv": "l.csv"}).rows()]


def test_links_list_each_video_once(tmp_path):
    data = tmp_path / "data"
    for name in ("data/walk/a.mp4", "data/run/b.mp4", "disk/c.mp4", "other/d.mp4"):
        touched(tmp_path / name)
    (data / "walk/here").symlink_to(".")
    (data / "walk/data").symlink_to("..")
    (data / "walk/above").symlink_to(tmp_path)  # leads out of the data: its other folders are none of it
    (data / "again").symlink_to("walk")
    (data / "disk").symlink_to(tmp_path / "disk")
    (data / "disk2").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/back").symlink_to(data)
    (data / "x").symlink_to("y")
    (data / "y").symlink_to("x")
    (data / "run/e.mp4").symlink_to(tmp_path / "other/d.mp4")  # a farm of links to files
    assert keys(data) == ["disk/c.mp4", "run/b.mp4", "run/e.mp4", "walk/a.mp4"]


def test_many_links_to_each_other_end(tmp_path):
    for i in range(12):  # 12! ways
        touched(tmp_path / f"{i}/a.mp4")
        for j in range(12):
            (tmp_path / f"{i}/to{j}").symlink_to(tmp_path / str(j))
    assert len(keys(tmp_path)) == 12


def test_a_locked_folder_is_told(tmp_path):
    touched(tmp_path / "walk/a.mp4")
    (tmp_path / "locked").mkdir()
    source = Folder(path=str(tmp_path))
    child = os.fork()
    if child == 0:  # root reads everything, so as somebody else
        code = 1
        try:
            (tmp_path / "locked").chmod(0)
            for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
                folder.chmod(0o755)
            if os.getuid() == 0:
                os.setuid(65534)
            for call in (source.own_labels, lambda: [*source.rows()]):
                try:
                    call()
                except SourceError as error:
                    code = 0 if "locked: the folder cannot be read: Permission denied" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (tmp_path / "locked").chmod(0o755)


def test_names_that_are_no_utf8(tmp_path):
    video(tmp_path / "caf\udce9/na\udcefve.mp4")
    video(tmp_path / "caf\udce9/\\xe9.mp4")
    source = Folder(path=str(tmp_path))
    rows = table_of(source.rows()).to_pylist()  # through Arrow
    assert [r["key"] for r in rows] == [r"caf\xe9/\xe9.mp4", r"caf\xe9/na\xefve.mp4"]
    assert {r["class"] for r in rows} == {r"caf\xe9"}
    for row in rows:
        assert source.load(row, CLIP, Middle()).key == row["key"]
    (tmp_path / "caf\udce9/na\udcefve.mp4").write_text("no video")
    reader = Reader("s", source, {}, CLIP, None, Dims(4, 32, 48, (2, 2, 3), 32), 0, table_of(source.rows()))
    record = str(reader.read(1)["error"])
    assert r"na\udcefve.mp4" in ErrorRecord.loads(record).text
    record.encode()


def test_what_predict_wrote_is_no_video(tmp_path):
    for name in ("walk/a.mp4", "walk/a.mp4.action.taskprompt.mp4", "walk/a.action.mp4"):
        touched(tmp_path / name)
    assert keys(tmp_path) == ["walk/a.action.mp4", "walk/a.mp4"]


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "NA", "<NA>", "None", "null"])
def test_cells_of_numbers_that_are_empty(tmp_path, cell):
    (row,) = table(tmp_path, f"clip,start,end\na.mp4,{cell},{cell}\n")
    assert (row["key"], row["start"]) == ("a.mp4", 0.0)
    assert row["end"] != row["end"]


@pytest.mark.parametrize("cell", ["inf", "-inf", "-1", "1e999", "1_000", "٣", "0x10", '"0,5"', "12:30", "1;2"])
def test_cells_that_are_no_moment_name_their_line(tmp_path, cell):
    for line in (f"{cell},", f",{cell}"):
        with pytest.raises(SourceError, match=r"l\.csv, line 3: column '(start|end)' holds"):
            table(tmp_path, f"clip,start,end\na.mp4,,\na.mp4,{line}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clip,class,class\na,b,c\n", "there are 2 columns 'class'"),
        ('clip,class\na,"b\nc,d\n', "cannot be read as a csv file"),  # a quote that never ends
        ("clip,class\ncafé,b\n".encode("latin-1"), "is not UTF-8. Save it as UTF-8"),
        ("clip\tclass\na\tb\n".encode("utf-16"), "is not UTF-8"),
        (b"", "no column 'clip'"),
        (b"\x00\x01", "no column 'clip'|cannot be read"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, words):
    with pytest.raises(SourceError, match=words):
        table(tmp_path, text)


def test_patterns_of_files_take_the_clip_alone():
    for file in ("{clip.__class__}", "{clip:>9999999999}", "{clip", "{}", "videos"):
        with pytest.raises(ValidationError, match="a path with"):
            Folder(path=".", file=file)


ACTION = {"action": validate({"kind": "action", "classes": ["walk", "run"]}, "action", Task)}


def mistakes(path, tasks=ACTION, **options):
    source = Folder.model_validate({"path": str(path), **options})
    return " ".join(source.mistakes(table_of(source.rows()), tasks))


def test_classes_that_cannot_be_right_are_told_before_training(tmp_path):
    for name in ("walk/a.mp4", "walk/b.mp4", "run/c.mp4"):
        touched(tmp_path / name)
    assert mistakes(tmp_path) == ""
    assert mistakes(tmp_path, flip_sensitive=["run"]) == ""
    assert mistakes(tmp_path, flip_sensitive=["Walk left"]).startswith(
        "`flip_sensitive` names 'Walk left', which is not a class"
    )
    assert "Did you mean 'walk'?" in mistakes(tmp_path, flip_sensitive=["walks"])
    assert mistakes(tmp_path, {}, flip_sensitive=["walk"]) == ""
    assert "'fly'" in mistakes(tmp_path, {}, flip_sensitive=["fly"])
    touched(tmp_path / "rnu/d.mp4")
    found = mistakes(tmp_path)
    assert "'rnu' is not in the list of 2. Did you mean 'run'? Found in 1 clip." in found
    assert mistakes(tmp_path, {}) == ""  # no task reads the classes
    assert mistakes(tmp_path, classes=["walk", "run"]) == ""
    assert keys(tmp_path, classes=["run"]) == ["run/c.mp4"]
    with pytest.raises(SourceError, match=r"no clip is of the class 'rum'\. Did you mean 'run'"):
        keys(tmp_path, classes=["rum"])
    clip = Clip(np.zeros((FRAMES, 32, 48, 3), np.uint8), np.arange(FRAMES) / 10)
    (tmp_path / "rnu/d.mp4").unlink()
    write_sample(tmp_path / "rendered", "0", Sample("k", clip, {"action": "walk"}))  # names its own class
    assert mistakes(tmp_path) == ""


def test_a_damaged_stored_sample_costs_itself_alone(tmp_path):
    clip = Clip(np.zeros((FRAMES, 32, 48, 3), np.uint8), np.arange(FRAMES) / 10)
    for name in ("a", "b"):
        depth = Map(np.ones((FRAMES, 32, 48), np.float32))
        write_sample(tmp_path / "walk", name, Sample(name, clip, {"depth": depth, "say": "x"}))
    (tmp_path / "walk/a.labels.json").write_text("[" * 5000)
    source = Folder(path=str(tmp_path))
    assert set(all_labels(source)) == {"action", "depth", "say"}
    reader = Reader("s", source, {}, CLIP, None, Dims(4, 32, 48, (2, 2, 3), 32), 0, table_of(source.rows()))
    assert [bool(str(reader.read(i)["error"])) for i in range(2)] == [True, False]


def edited(folder, **changes):
    file = folder / "a.labels.json"
    meta = json.loads(file.read_text())
    for key, value in changes.items():
        meta.pop(key) if value is KeyError else meta.update({key: value})
    file.write_text(json.dumps(meta))


@pytest.mark.parametrize(
    "changes",
    [
        *({key: KeyError} for key in ("key", "flip_sensitive", "rate", "times", "arrays", "labels")),
        *({"rate": value} for value in ("x", "0", [], "1e999999999", "-3", "1/0", 5, "nan")),
        *({"times": value} for value in ([], [None, 1], ["a"], [0, 10**400], [1, 0], 5, [0.1] * 500, [[0]])),
        *({"labels": value} for value in (5, "abc", [], None)),
        *({"arrays": value} for value in (5, [["depth"]], {"depth": {}}, {"depth": 5}, {"none": {"form": "map"}})),
        {"arrays": {"depth": {"form": "zz", "framed": True}}},
        {"arrays": {"depth": {"form": "joints", "framed": True, "swap": [[1]]}}},
        {"arrays": {"depth": {"form": "boxes", "framed": True}}},
        {"arrays": {"depth": {"form": "map", "framed": False}}},
        {"arrays": {"gone": {"form": "map", "framed": True}}},
    ],
)
def test_stored_samples_of_any_content(tmp_path, changes):
    clip = Clip(np.zeros((FRAMES, 32, 48, 3), np.uint8), np.arange(FRAMES) / 10)
    write_sample(tmp_path, "a", Sample("a", clip, {"depth": Map(np.ones((FRAMES, 32, 48), np.float32)), "say": "x"}))
    edited(tmp_path, **changes)
    source = Folder(path=str(tmp_path))
    all_labels(source)
    reader = Reader("s", source, {}, CLIP, None, Dims(4, 32, 48, (2, 2, 3), 32), 0, table_of(source.rows()))
    assert "a." in str(reader.read(0)["error"])
