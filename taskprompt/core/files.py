"""Atomic file writes, and safe reading of json.

A file is written under a temporary name, flushed to disk and renamed, so a full disk or a kill leaves the old version.
A symbolic link in place of a file is replaced, never followed."""

import errno
import json
import os
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from taskprompt.core.errors import WriteError

STALE = 60  # seconds after which the draft of a small file must be from a killed process
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # absent on Windows
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free disk space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Make it writable"),
}
# What else to do, after one of the remedies and a comma.
ADVICE = "or choose another folder."
ELSEWHERE = "or give another folder with --out."


@contextmanager
def writing(place: str | Path, advice: str = ADVICE) -> Generator[None]:
    """Around code that writes: an OSError becomes a WriteError that names `place`.

    advice: what to do other than to free disk space, make the place writable, or check it."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "Check this path")
        raise WriteError(f"{place}: cannot be written: {error.strerror or error}. {remedy}, {advice}") from error


@contextmanager
def replacing(path: Path, advice: str = ADVICE) -> Generator[Path]:
    """A draft's path to write to. It becomes `path` when the block ends, and is removed where the block raises.

    It has the same suffix, which some libraries derive the format from. Raises WriteError."""
    draft = path.with_name(f".{uuid.uuid4().hex}.part{path.suffix}")
    try:
        with writing(path, advice):
            yield draft
            flush(draft)
            draft.replace(path)
            flush(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write(path: Path, data: str | bytes, advice: str = ADVICE) -> Path:
    """Write a file atomically; returns its path. Raises WriteError."""
    with replacing(path, advice) as draft, open(draft, "xb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    return path


def append(path: Path, text: str, advice: str = ADVICE) -> None:
    """Append text to a file, all of it or nothing. Raises WriteError, also if the file is a symbolic link."""
    with writing(path, advice), os.fdopen(open_to_append(path), "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        data = memoryview(text.encode())
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(size)
            raise


def open_to_append(path: Path) -> int:
    """A file descriptor that appends to a file, which is created if it is missing. Raises OSError for a link."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINK, 0o666)


def flush(path: Path) -> None:
    """fsync a file or a folder. Not every file system can sync folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def check_writable(folder: Path, advice: str = ADVICE) -> None:
    """Check that files can be created in a folder, which is created if missing. Raises WriteError."""
    with writing(folder, advice):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{uuid.uuid4().hex}.part"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        probe.unlink()


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder."""
    for draft in folder.glob(".*.part*"):
        with suppress(OSError):
            if time.time() - draft.lstat().st_mtime > STALE:
                draft.unlink()


def parse_json(text: str | bytes) -> Any:
    """Parse json. Raises ValueError for text that is not json, is nested too deeply, or is not UTF-8."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
