"""The run's curves for TensorBoard, written in this thread: torch's SummaryWriter leaves a traceback, or hangs, where
the disk is full."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import scalar

from taskprompt.core.files import writing

SECONDS = 30  # after which points are made visible at the latest


class Board:
    """Scalars by step. Curves of an earlier go at the run end before step `start`."""

    def __init__(self, folder: Path, start: int):
        with writing(folder):
            folder.mkdir(exist_ok=True)
            name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{start}"
            self.file = open(folder / name, "ab")  # noqa: SIM115
            self.records = RecordWriter(self.file)
            self._add(Event(step=start, file_version="brain.Event:2"))
            self._add(Event(step=start, session_log=SessionLog(status=SessionLog.START)))
        self.flushed = time.monotonic()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """One point of a curve. Raises WriteError."""
        with writing(self.file.name):
            self._add(Event(step=step, summary=scalar(name, value)))
            if time.monotonic() - self.flushed > SECONDS:
                self.flush()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())

    def flush(self) -> None:
        """Make what is written visible. Raises WriteError."""
        with writing(self.file.name):
            self.file.flush()
        self.flushed = time.monotonic()

    def close(self) -> None:
        """Flush as far as the disk lets it: what a run needs is in its own files."""
        with suppress(OSError):
            self.file.close()
