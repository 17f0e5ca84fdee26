"""Files that are written whole or not at all, and json that is read whatever it holds.

A file is written under another name, flushed to the disk and renamed, so that a full disk or a kill leaves what was
there before. A symbolic link in the place of a file is replaced, never written through."""

import json
import os
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from taskprompt.core.errors import WriteError

STALE = 60  # seconds after which the draft of a small file can only be one of a killed process
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # absent on Windows
ADVICE = "Free some room there, or choose another place."
ELSEWHERE = "Free some room there, or give another folder with --out."


@contextmanager
def writing(place: str | Path, advice: str = ADVICE) -> Generator[None]:
    """Around code that writes: what the system refuses becomes a WriteError that names `place`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{place}: cannot be written: {error.strerror or error}. {advice}") from error


@contextmanager
def replacing(path: Path, advice: str = ADVICE) -> Generator[Path]:
    """A draft's path to write to. It becomes `path` when the block ends, and is removed where the block raises.

    The draft has the same suffix, which some libraries take the format from. Raises WriteError."""
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
    """Write a file, whole or not at all; returns its path. Raises WriteError."""
    with replacing(path, advice) as draft, open(draft, "xb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    return path


def append(path: Path, text: str, advice: str = ADVICE) -> None:
    """Add text at a file's end, all of it or nothing. Raises WriteError, also where the file is a symbolic link."""
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
    """A file descriptor that writes at the end of a file, which is made if it is absent. Raises OSError for a link."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINK, 0o666)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Not every file system flushes folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def check_writable(folder: Path, advice: str = ADVICE) -> None:
    """Find out before the work whether files can be made in a folder, which is made if absent. Raises WriteError."""
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
    """Json as data. Raises ValueError for all that is not json, nested too deeply, or no UTF-8."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
