"""Locks of a run's folder, so that only one job at a time writes to it; and its log."""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from taskprompt.core.errors import CheckpointError
from taskprompt.core.files import open_to_append, writing
from taskprompt.core.text import Formatter

LOCK = ".lock"  # of the training process: a worker of a cluster outlives its driver by some seconds
DRIVER_LOCK = ".driver.lock"  # of the process that called `fit` or `tune`, during the whole call


class LogFile(logging.FileHandler):
    """A log that does not follow symbolic links, and whose own failures (a full disk) are ignored."""

    def _open(self):
        return os.fdopen(open_to_append(Path(self.baseFilename)), "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore it: errors of the run's own files are raised where they are written."""

    def close(self) -> None:
        """Flush and close, ignoring errors."""
        with suppress(OSError):
            super().close()


@contextmanager
def logged(path: Path, rank: int) -> Iterator[logging.Logger]:
    """taskprompt's logger; messages of rank 0 are written to the run's log.txt. Raises WriteError."""
    log = logging.getLogger("taskprompt")
    if rank:
        yield log
        return
    with writing(path):
        handler = LogFile(path / "log.txt", encoding="utf-8")
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def locked(path: Path, patience: float = 60, name: str = LOCK) -> Iterator[None]:
    """Lock the run's folder, so that no two jobs write to it. The system releases the lock when the process dies.

    Raises CheckpointError if another process still holds it after `patience` seconds, since a worker outlives its
    killed driver by some seconds. Raises WriteError if the folder cannot be written."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        yield
        return
    with writing(path):
        file = os.fdopen(open_to_append(path / name), "ab")
    with file:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise CheckpointError(
                        f"{path}: another job is writing to this run. Stop it, or choose another folder for --out."
                    ) from None
                time.sleep(0.2)
        yield


@contextmanager
def driver_locked(path: Path) -> Iterator[None]:
    """Lock a folder during a whole job, before its contents are read. It is created if missing.

    Raises CheckpointError at once if another driver holds the lock, and after a minute if a worker does."""
    with writing(path, "Choose another folder for --out."):
        path.mkdir(parents=True, exist_ok=True)
    with locked(path, patience=0.5, name=DRIVER_LOCK):
        with locked(path):
            pass  # no worker of a killed driver is left
        yield


def check_one(resume: bool, fresh: bool) -> None:
    """Raises CheckpointError if both options are set."""
    if resume and fresh:
        raise CheckpointError("--resume continues the run in a folder, and --fresh replaces it. Give one of them.")


def contents(path: Path) -> list[Path]:
    """The contents of a folder, without locks; empty if there is no folder. Raises CheckpointError if it is a file."""
    try:
        return [p for p in path.iterdir() if p.name not in (LOCK, DRIVER_LOCK)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{path}: cannot be used: {what}. Choose another folder for --out.") from None


def clear(path: Path) -> None:
    """Remove the contents of a folder except the locks, which stay held. Raises WriteError."""
    with writing(path):
        for found in contents(path):
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                found.unlink()
