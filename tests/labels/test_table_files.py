"""Label tables that others wrote or damaged: other types of Arrow are read, and all else is one line or one clip."""

import os

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from taskprompt.core.errors import SampleError, SourceError
from taskprompt.labels import table as label_table
from taskprompt.labels.table import SCHEMA, open_table, record

ROWS = [record(f"c{i}", "said", f"a man {i}", address="a", asked="{}", used="{}", time=1.0) for i in range(3)]
ROWS += [record("c0", "seen", {"text": "x", "vectors": np.ones((1, 4), np.float32)}, address="b", asked="{}", time=1.0)]
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)


def written(folder, table, **options):
    parquet.write_table(table, folder / "a.parquet", **options)
    return str(folder)


def changed(name, column):
    return TABLE.set_column(TABLE.schema.get_field_index(name), name, column)


def recast(old, new):
    """The table with all columns of one type in another."""
    columns = {n: TABLE[n].cast(new) if TABLE[n].type == old else TABLE[n] for n in TABLE.schema.names}
    return pa.table(columns)


@pytest.mark.parametrize(
    "table",
    [
        recast(pa.string(), pa.large_string()),
        recast(pa.string(), pa.string_view()),
        recast(pa.string(), pa.dictionary(pa.int32(), pa.string())),
        recast(pa.string(), pa.binary()),
        recast(pa.binary(), pa.large_binary()),
        recast(pa.binary(), pa.binary_view()),
        recast(pa.list_(pa.int64()), pa.large_list(pa.int64())),
        recast(pa.list_(pa.int64()), pa.list_(pa.int32())),
        recast(pa.float64(), pa.float32()),
        TABLE.append_column("__index_level_0__", pa.array(range(4))).select(["__index_level_0__", *SCHEMA.names[::-1]]),
        changed("error", pa.array([None] * 4, pa.string())),
        TABLE.replace_schema_metadata(None),
    ],
)
def test_other_types_of_the_same_values_are_read(tmp_path, table):
    found = open_table(written(tmp_path, table))
    assert found.labels == ("said", "seen")
    assert [found.of(f"c{i}", ["said"]) for i in range(3)] == [{"said": f"a man {i}"} for i in range(3)]
    np.testing.assert_array_equal(found.of("c0", ["seen"])["seen"]["vectors"], np.ones((1, 4)))


def test_what_pandas_wrote(tmp_path):
    frame = TABLE.to_pandas()
    frame[frame["key"] != "c1"].to_parquet(tmp_path / "a.parquet")  # with an index, and strings of another type
    frame[frame["label"] == "said"].set_index("key").to_parquet(tmp_path / "b.parquet")  # no arrays at all
    found = open_table(str(tmp_path))
    assert (sorted(found.at["said"]), found.of("c1", ["said"])) == (["c0", "c1", "c2"], {"said": "a man 1"})


def test_nothing_is_built_of_extension_types(tmp_path):
    """Packages register code for them: Ray's reads a pickle."""
    built = []

    class Trap(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.int64(), "tests.trap")

        def __arrow_ext_serialize__(self):
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, serialized):
            built.append(serialized)
            return cls()

    pa.register_extension_type(Trap())
    try:
        extra = pa.ExtensionArray.from_storage(Trap(), pa.array(range(4)))
        folder = written(tmp_path, TABLE.append_column("more", extra))
        with pytest.raises(SourceError, match="extension type"):
            open_table(folder)
        assert built == []
        parquet.read_schema(tmp_path / "a.parquet")
        assert built  # it would have been
    finally:
        pa.unregister_extension_type("tests.trap")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (changed("label", pa.array([1, 2, 3, 4])), "'label' has type int64, expected string"),
        (changed("label", pa.array([{"a": 1}] * 4)), "'label' has type struct<a: int64>, expected string"),
        (changed("time", pa.array([1] * 4, pa.timestamp("s"))), "'time' has type timestamp"),
        (changed("shape", pa.array([["x"]] * 4)), "'shape' has type list"),
        (changed("key", pa.array(["a", None, "b", "c"])), "'key' has 1 nulls"),
        (changed("key", pa.array([b"\xff", b"a", b"b", b"c"])), "a.parquet"),
        (TABLE.drop_columns(["used"]), "it lacks used"),
        (TABLE.replace_schema_metadata({"format": "taskprompt.labels/2"}), "Use the taskprompt that wrote it"),
        (
            pa.table({n: pa.array([TABLE[n][0].as_py()] * 10**6, TABLE[n].type) for n in SCHEMA.names}),
            "would grow from",
        ),
    ],
)
def test_files_that_are_none(tmp_path, table, said):
    with pytest.raises(SourceError, match=said) as error:
        open_table(written(tmp_path, table))
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("nowhere"), "a broken link"),
        (lambda path: path.mkdir(), "is not a file"),
        (os.mkfifo, "is not a file"),  # which reading would wait for
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"PAR1" + b"\xff" * 40 + b"\x28\0\0\0PAR1"), "cannot be read"),
    ],
)
def test_what_lies_in_its_place(tmp_path, make, said):
    make(tmp_path / "x.parquet")
    with pytest.raises(SourceError, match=said):
        open_table(str(tmp_path))


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "t").write_text("x")
    with pytest.raises(SourceError, match="cannot be listed: Not a directory"):
        open_table(str(tmp_path / "t"))


ARRAY = {"form": "array", "value": "null", "shape": [2], "dtype": "<f4", "array": b"12345678"}


@pytest.mark.parametrize(
    "row",
    [
        {"value": None},
        {"value": "x"},
        {"value": "{}"},
        {"value": "[" * 5000},
        {"form": "picture"},
        {"form": None},
        ARRAY | {"array": None},
        ARRAY | {"array": b"1234"},
        ARRAY | {"shape": None},
        ARRAY | {"shape": [-1]},
        ARRAY | {"shape": [2**62, 2**62]},
        ARRAY | {"dtype": "|O"},
        ARRAY | {"dtype": "nonsense"},
        ARRAY | {"dtype": None},
        ARRAY | {"form": "embedding", "value": '"x"'},  # vectors of one axis
        ARRAY | {"form": "boxes", "shape": [1, 1, 2]},
        ARRAY | {"form": "joints", "value": '{"swap": [[0, 7]]}', "shape": [1, 1, 3], "array": b"1" * 12},
        ARRAY | {"form": "points", "value": '{"swap": 7}', "shape": [1, 1, 2]},
    ],
)
def test_a_damaged_row_costs_its_clip_alone(tmp_path, row):
    table = pa.Table.from_pylist([ROWS[0] | row, ROWS[1]], SCHEMA)
    found = open_table(written(tmp_path, table))
    assert found.counts() == {"said": {}}
    assert found.of("c1", ["said"]) == {"said": "a man 1"}
    with pytest.raises(SampleError, match="clip 'c0', label 'said'") as error:
        found.of("c0", ["said"])
    assert error.value.__cause__ is None


@pytest.mark.parametrize("used", ["x", "[]", "[" * 5000, None])
def test_facts_that_are_none_are_no_fault(tmp_path, used):
    found = open_table(written(tmp_path, pa.Table.from_pylist([ROWS[0] | {"used": used}], SCHEMA)))
    assert found.of("c0", ["said"]) == {"said": "a man 0"}


def test_half_a_surrogate_pair_is_written_as_unknown(tmp_path):
    label_table.append(tmp_path, [record("a\udcff", "said", "a man \ud83c", address="1", error="", used="\udfff")])
    label_table.append(tmp_path, [record("b", "said", "\ud83c\udfc3", address="2")])
    assert open_table(str(tmp_path)).of("b", ["said"]) == {"said": "\U0001f3c3"}
    assert open_table(str(tmp_path)).of("a\ufffd", ["said"]) == {"said": "a man \ufffd"}


def test_reasoning_and_filters_are_counted(tmp_path):
    rows = [
        record("a", "said", "A man runs.", address="1", used='{"reasoning": 12}'),
        record("b", "said", None, address="2", error="stopped", used='{"filtered": true}'),
        record("c", "said", None, address="3", error="no answer", used="{}"),
    ]
    label_table.append(tmp_path, rows)
    assert open_table(str(tmp_path)).counts() == {"said": {"reasoning": 1, "filtered": 1}}


def test_files_that_are_joined_while_they_are_read(tmp_path, monkeypatch):
    parts = [label_table.append(tmp_path, [row]) for row in ROWS[:3]]
    listed, once = label_table.files, []

    def joins(folder):
        found = listed(folder)
        if not once:
            once.append(label_table.append(tmp_path, ROWS[:3]))
            for path in parts:
                path.unlink()
        return found

    monkeypatch.setattr("taskprompt.labels.files.files", joins)
    assert len(label_table.read(tmp_path)) == 3


def test_polars(tmp_path):
    polars = pytest.importorskip("polars")
    polars.from_arrow(TABLE).write_parquet(tmp_path / "a.parquet")
    assert open_table(str(tmp_path)).of("c2", ["said"]) == {"said": "a man 2"}
