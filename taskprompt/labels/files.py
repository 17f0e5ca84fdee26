"""Files of a label table, read as untrusted data.

A table may come from pandas or polars, whose strings and lists have other Arrow types: they are cast. Extension types
are rejected before Arrow creates them, since packages register code for them, and Ray's would unpickle."""

import base64
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from taskprompt.core.errors import SourceError

SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # of the clip
        ("label", pa.string()),
        ("value", pa.string()),  # plain JSON; for an array, its metadata; null if it failed
        ("array", pa.binary()),  # the bytes of a label that is an array, or of the vectors of an embedding
        ("shape", pa.list_(pa.int64())),
        ("dtype", pa.string()),
        ("form", pa.string()),  # json, text, embedding, array, or a spatial label: map, boxes ...
        ("address", pa.string()),  # cache key: hash of the clip's frames and the question
        ("asked", pa.string()),  # JSON: model, revision, prompt, sampling
        ("used", pa.string()),  # JSON: tokens read and written, whether it was truncated
        ("error", pa.string()),  # why there is no value; empty where there is one
        ("time", pa.float64()),  # seconds since 1970
    ],
    metadata={"format": "taskprompt.labels/1"},
)
FORMAT = b"taskprompt.labels/1"
EXTENSION, BASE64 = b"ARROW:extension:name", re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
FILLED = ("key", "label")  # columns without nulls
LARGE = 2 << 30  # bytes of columns above which a compression ratio of 100 is rejected
TRIES = 10  # to read a table while its files are being merged


def files(folder: str | Path) -> list[Path]:
    """The files of a table, oldest first; none if there is no such folder.

    Raises SourceError if the folder cannot be listed, or one of them is a broken link or not a regular file."""
    found = []
    try:
        entries = [e for e in os.scandir(folder) if e.name.endswith(".parquet") and not e.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SourceError(f"table {folder}: cannot be listed: {error.strerror}. Name a folder.") from None
    for entry in entries:
        try:
            status = entry.stat()
        except OSError as error:
            if not entry.is_symlink():
                continue  # a job has just merged it into a larger file
            raise SourceError(f"table {folder}: {entry.name} is a broken link ({error.strerror}). Remove it.") from None
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"table {folder}: {entry.name} is not a file. Remove it, or name another folder.")
        found.append((status.st_mtime_ns, Path(entry.path)))
    return [path for _, path in sorted(found)]


def read(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a table, oldest first. Raises SourceError if there is none, or it is not a label table."""
    for _ in range(TRIES):
        try:
            parts = [read_file(folder, path, columns or SCHEMA.names) for path in files(folder)]
        except FileNotFoundError:
            continue  # a job has merged it into a larger file since the folder was listed
        if not parts:
            raise SourceError(f"there is no label table in {str(folder)!r}. Write it with `taskprompt label`.")
        return pa.concat_tables(parts)
    raise SourceError(f"table {folder}: its files change all the time. Wait until `taskprompt label` has ended.")


def read_file(folder: str | Path, path: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of one file, with the types of SCHEMA. Raises SourceError; FileNotFoundError if it was removed."""
    where = f"table {folder}: {path.name}"
    try:
        _check_plain(path, where)
        part = parquet.ParquetFile(path, memory_map=True)
        _check_size(part, path, where)
        names = part.schema_arrow.names
        if missing := [n for n in columns if n not in names]:
            raise SourceError(
                f"{where} is not a label table: it lacks {', '.join(missing)}; its columns are {', '.join(names[:12])}"
                f", expected {', '.join(SCHEMA.names)}. Name a folder that `taskprompt label` wrote."
            )
        table = part.read(columns=list(columns)).select(list(columns))
        table.validate(full=True)  # checks that text is UTF-8
    except (SourceError, FileNotFoundError):
        raise
    except Exception as error:  # Arrow's own errors are of many classes
        why = " ".join(str(error).split())[:200]
        raise SourceError(f"{where} cannot be read: {why}. Remove it, and label again.") from None
    return pa.table([_cast(table, name, where) for name in columns], pa.schema([SCHEMA.field(n) for n in columns]))


def _check_plain(path: Path, where: str) -> None:
    """Reject extension types, which the footer names in its copy of Arrow's schema. Opening the file would create
    them."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 8))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, end - 8 - length))
        footer = file.read(length) if length < end else b""
    for coded in BASE64.findall(footer):
        # The length bytes before it may look like a part of it.
        if any(EXTENSION in base64.b64decode(coded[i : i + (len(coded) - i) // 4 * 4]) for i in range(4)):
            raise SourceError(f"{where} holds a column of an extension type. Write it with plain types of Arrow.")


def _check_size(file: parquet.ParquetFile, path: Path, where: str) -> None:
    """Reject implausible numbers of rows or bytes, before memory is allocated."""
    size, footer = path.stat().st_size, file.metadata
    form = (footer.metadata or {}).get(b"format", FORMAT)
    if form != FORMAT:
        raise SourceError(
            f"{where} has the format {form!r:.60}, expected {FORMAT!r}. Use the taskprompt that wrote it."
        )
    whole = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    if footer.num_rows > size or (whole > LARGE and whole > 100 * size):
        raise SourceError(
            f"{where} would grow from {size} bytes to {footer.num_rows} rows and {whole} bytes. Remove it."
        )


def _cast(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    column, wanted = table.column(name), SCHEMA.field(name).type
    try:
        column = column if column.type == wanted else column.cast(wanted) if _alike(column.type, wanted) else None
    except pa.ArrowException:
        column = None
    if column is None:
        raise SourceError(
            f"{where}: column {name!r} has type {table.column(name).type}, expected {wanted}. Write it with that type."
        )
    if name in FILLED and column.null_count:
        raise SourceError(f"{where}: column {name!r} has {column.null_count} nulls. Remove those rows.")
    return column


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type holds the same kind of value. A number is not text, though Arrow would cast it."""
    types = pa.types
    if types.is_dictionary(found):
        found = found.value_type
    if types.is_null(found):
        return True
    if types.is_string(wanted) or types.is_binary(wanted):
        kinds = (types.is_string, types.is_large_string, types.is_string_view)
        kinds += (types.is_binary, types.is_large_binary, types.is_binary_view)
        return any(is_kind(found) for is_kind in kinds)
    if types.is_list(wanted):
        lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view)
        return any(is_kind(found) for is_kind in lists) and _alike(found.value_type, wanted.value_type)
    return types.is_integer(found) or types.is_floating(found)
