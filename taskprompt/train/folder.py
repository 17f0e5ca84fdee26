"""Holding a run's folder: one writer at a time, and a log."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskprompt.core.errors import CheckpointError
from taskprompt.core.text import Formatter


@contextmanager
def logged(path: Path, rank: int) -> Iterator[logging.Logger]:
    """taskprompt's logger; what rank 0 says goes to the run's log.txt."""
    log = logging.getLogger("taskprompt")
    if rank:
        yield log
        return
    handler = logging.FileHandler(path / "log.txt", encoding="utf-8")
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def owned(path: Path, patience: float = 60) -> Iterator[None]:
    """Hold the run's folder: two jobs never write into one. The system lets go of it when the holder dies.

    Raises CheckpointError where another process still holds it after `patience` seconds: a worker whose driver was
    killed lives on for some."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody looks
        yield
        return
    with open(path / ".lock", "w") as file:
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
