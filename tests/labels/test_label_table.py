"""Label tables: every form of label there and back, the newest answer, files that are none, and joining."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SourceError, WriteError
from taskprompt.core.moment import Middle
from taskprompt.core.source import Table
from taskprompt.core.types import Boxes, Joints, Map
from taskprompt.data.reader import load
from taskprompt.labels import table as label_table
from taskprompt.labels.join import all_labels, labels_of, opened
from taskprompt.labels.table import address, append, open_table, record
from taskprompt.sources.folder import Folder
from taskprompt.sources.scenes import Scenes

CLIP = ClipSpec(frames=2, height=16, width=16)
ROWS = {
    "said": "Ein Mädchen läuft.",
    "parts": {"who": ["a", "b"], "n": 3},
    "embedding": {"text": "a dog", "vectors": np.arange(6, dtype=np.float32).reshape(2, 3)},
    "depth": Map(np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 2, 2)),
    "boxes": Boxes(np.ones((2, 1, 4), np.float32)),
    "pose3d": Joints(np.zeros((2, 3, 3), np.float32), ((0, 1),)),
    "scores": np.arange(3),
}


def same(a, b):
    if hasattr(a, "values") and not isinstance(a, dict):
        return type(a) is type(b) and same(a.values, b.values) and getattr(a, "swap", ()) == getattr(b, "swap", ())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a.dtype == b.dtype and np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def test_every_form_there_and_back(tmp_path):
    append(tmp_path, [record("clip", name, value, address=name) for name, value in ROWS.items()])
    table = open_table(str(tmp_path))
    assert table.labels == tuple(sorted(ROWS))
    found = table.of("clip", ROWS)
    assert {name: same(value, found[name]) for name, value in ROWS.items()} == dict.fromkeys(ROWS, True)
    assert table.of("another", ROWS) == {}
    assert table.of("clip", ["unheard of"]) == {}


def test_the_same_answers_are_one_file_and_the_newest_counts(tmp_path):
    first = append(tmp_path, [record("clip", "said", "old", address="1")])
    assert append(tmp_path, [record("clip", "said", "old", address="1")]) == first
    assert len(label_table.files(tmp_path)) == 1
    os.utime(first, (1, 1))
    append(tmp_path, [record("clip", "said", "new", address="2")])
    assert open_table(str(tmp_path)).of("clip", ["said"]) == {"said": "new"}
    append(tmp_path, [record("clip", "said", None, address="3", error="refused")])
    assert open_table(str(tmp_path)).of("clip", ["said"]) == {"said": "new"}  # a failure takes nothing away


def test_an_old_table_is_kept_until_a_file_comes_or_goes(tmp_path):
    first = append(tmp_path, [record("clip", "said", "old", address="1")])
    os.utime(tmp_path, (1, 1))  # no longer fresh, so that the folder's time alone is looked at
    table = open_table(str(tmp_path))
    assert open_table(str(tmp_path)) is table
    append(tmp_path, [record("clip", "said", "new", address="2")])
    assert open_table(str(tmp_path)).of("clip", ["said"]) == {"said": "new"}
    os.utime(tmp_path, (2, 2))
    assert open_table(str(tmp_path)).of("clip", ["said"]) == {"said": "new"}
    first.unlink()
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match=r"x.parquet cannot be read"):
        open_table(str(tmp_path))


def test_an_address_is_all_that_an_answer_depends_on():
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    one = address(frames, {"a": "x"}, {"model": "m"})
    assert one == address(frames.copy(), {"a": "x"}, {"model": "m"})
    others = [
        address(frames + 1, {"a": "x"}, {"model": "m"}),
        address(frames.reshape(4, 2, 4, 3), {"a": "x"}, {"model": "m"}),
        address(frames, {"a": "y"}, {"model": "m"}),
        address(frames, {"a": "x"}, {"model": "n"}),
        address(None, {"a": "x"}, {"model": "m"}),
    ]
    assert len({one, *others}) == 6


def test_no_table_and_files_that_are_none(tmp_path):
    with pytest.raises(SourceError, match=r"`taskprompt\.label`"):
        open_table(str(tmp_path / "none"))
    parquet.write_table(pa.table({"key": ["a"], "caption": ["x"]}), tmp_path / "other.parquet")
    with pytest.raises(SourceError, match="its columns are key, caption"):
        open_table(str(tmp_path))
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="cannot be read"):
        open_table(str(tmp_path))


def test_half_a_file_is_never_there(tmp_path, monkeypatch):
    def fail(table, path, **options):
        path.write_bytes(b"PAR1 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(label_table.parquet, "write_table", fail)
    with pytest.raises(WriteError, match="No space left"):
        append(tmp_path, [record("clip", "said", "x", address="1")])
    assert list(tmp_path.iterdir()) == []


def test_a_source_joins_a_table(tmp_path):
    spec = {"kind": "scenes", "clips": 3, "size": 16, "only": ["action", "said"], "tables": [str(tmp_path)]}
    source = Scenes.model_validate(spec)
    rows = list(source.rows())
    append(tmp_path, [record(rows[1]["key"], "said", "hello", address="1"), record("x", "more", 3, address="2")])
    assert labels_of(source) == ("action", "said")
    labels = [load(source, row, CLIP, Middle()).labels for row in rows]
    assert [sorted(found) for found in labels] == [["action"], ["action", "said"], ["action"]]
    assert labels[1]["said"] == "hello"
    assert json.loads(json.dumps(source.model_dump(mode="json")))["tables"] == [{"path": str(tmp_path), "drop": []}]


def test_one_label_from_two_places(tmp_path):
    append(tmp_path, [record("a", "action", "walk", address="1")])
    source = Scenes.model_validate({"clips": 1, "tables": [str(tmp_path)]})
    with pytest.raises(SourceError, match="'action' is also one of the source itself"):
        all_labels(source)
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk/a.mp4").touch()
    append(tmp_path / "t", [record("a", "said", "x", address="1")])
    append(tmp_path / "u", [record("a", "said", "y", address="1")])
    with pytest.raises(SourceError, match=r"also one of .*/t\."):
        all_labels(Folder.model_validate({"path": str(tmp_path), "tables": [str(tmp_path / "t"), str(tmp_path / "u")]}))


def test_flagged_answers_are_left_out(tmp_path):
    said = {"a": "A person waves.", "b": "...", "c": "I'm sorry, but I cannot see a video.", "d": "A person"}
    rows = [record(k, "said", v, address=k, used=json.dumps({"truncated": k == "d"})) for k, v in said.items()]
    vectors = np.ones((1, 2), np.float32)
    rows += [record(k, "embedding", {"text": v, "vectors": vectors}, address=k) for k, v in said.items()]
    append(tmp_path, rows)
    whole = open_table(str(tmp_path))
    assert whole.counts() == {
        "said": {"empty": 1, "refused": 1, "truncated": 1},
        "embedding": {"empty": 1, "refused": 1},
    }
    assert sorted(whole.at["said"]) == ["a", "b", "c", "d"]
    some = opened(Table.model_validate({"path": str(tmp_path), "drop": ["empty", "refused", "truncated"]}))
    assert (sorted(some.at["said"]), sorted(some.at["embedding"])) == (["a"], ["a", "d"])
    assert some.of("b", ["said"]) == {}
    with pytest.raises(ValueError, match="'refused'"):
        Table.model_validate({"path": "t", "drop": ["refusal"]})
