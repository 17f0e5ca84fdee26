"""Holding a run's folder: one job at a time decides and writes, and keeps a log."""

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

LOCK = ".lock"  # of the process that trains: a worker of a cluster outlives its driver by some seconds
DRIVER_LOCK = ".driver.lock"  # of the process that `fit` or `tune` was called in, from its first look to its end


class LogFile(logging.FileHandler):
    """A log that does not follow a symbolic link, and whose own failures (a full disk) stop nobody."""

    def _open(self):
        return os.fdopen(open_to_append(Path(self.baseFilename)), "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: what the run itself cannot write is raised where it is written."""

    def close(self) -> None:
        """Flush and close, as far as the disk lets it."""
        with suppress(OSError):
            super().close()


@contextmanager
def logged(path: Path, rank: int) -> Iterator[logging.Logger]:
    """taskprompt's logger; what rank 0 says goes to the run's log.txt. Raises WriteError."""
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
def owned(path: Path, patience: float = 60, name: str = LOCK) -> Iterator[None]:
    """Hold the run's folder: two jobs never write into one. The system lets go of it when the holder dies.

    Raises CheckpointError where another process still holds it after `patience` seconds: a worker whose driver was
    killed lives on for some. Raises WriteError where the folder cannot be written."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody looks
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
                        f"{path}: another job is writing into this run. Stop it, or choose another folder for --out."
                    ) from None
                time.sleep(0.2)
        yield


@contextmanager
def driven(path: Path) -> Iterator[None]:
    """Hold a folder from the first look at what is in it to the end of the job. It is made if it is absent.

    Raises CheckpointError at once where another driver holds it, and after a minute where a worker does."""
    with writing(path, "Choose another folder for --out."):
        path.mkdir(parents=True, exist_ok=True)
    with owned(path, patience=0.5, name=DRIVER_LOCK):
        with owned(path):
            pass  # the last worker of a driver that was killed has ended, or never was
        yield


def check_one(resume: bool, fresh: bool) -> None:
    """Raises CheckpointError where a folder is both to be gone on with and to be replaced."""
    if resume and fresh:
        raise CheckpointError("--resume goes on with what a folder holds, and --fresh replaces it. Give one of them.")


def contents(path: Path) -> list[Path]:
    """What is in a folder, locks aside; nothing where there is no folder. Raises CheckpointError where it is none."""
    try:
        return [p for p in path.iterdir() if p.name not in (LOCK, DRIVER_LOCK)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{path}: cannot be used: {what}. Choose another folder for --out.") from None


def clear(path: Path) -> None:
    """Remove all that is in a folder but the locks, which stay held. Raises WriteError."""
    with writing(path):
        for found in contents(path):
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                found.unlink()
