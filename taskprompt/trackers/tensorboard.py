"""TensorBoard: event files, written in this thread.

torch's SummaryWriter uses another thread, which prints a traceback or hangs on a full disk."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from taskprompt.core.events import Evaluated, Event, Saved, Step
from taskprompt.core.files import writing
from taskprompt.core.tracker import Tracker, Tracking

SECONDS = 30  # between flushes


class TensorBoard(Tracker):
    """Curves for TensorBoard: losses, learning rate, gradient norm, clips per second, held-out metrics."""

    def open(self, folder: Path, step: int) -> "Curves":
        return Curves(folder, step)


class Curves(Tracking):
    """Scalars by step. TensorBoard drops the points of earlier jobs from this job's first step on."""

    def __init__(self, folder: Path, step: int):
        from tensorboard.compat.proto import event_pb2  # lazy: recipes are read without TensorBoard
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard.summary import scalar

        self.scalar, self.message, session = scalar, event_pb2.Event, event_pb2.SessionLog  # type: ignore[attr-defined]
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{step + 1}"
        with writing(folder):
            folder.mkdir(exist_ok=True)
            self.file = open(folder / name, "ab")  # noqa: SIM115
            self.records = RecordWriter(self.file)
            self._add(step=step + 1, file_version="brain.Event:2")
            self._add(step=step + 1, session_log=session(status=session.START))
        self.flushed = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Raises WriteError."""
        with writing(self.file.name):
            match event:
                case Step():
                    for name, value in event.scalars().items():
                        self._add(step=event.step, summary=self.scalar(name, value))
                case Evaluated():
                    for name, value in event.metrics.items():
                        self._add(step=event.step, summary=self.scalar(f"held_out/{name}", value))
            if isinstance(event, Saved) or time.monotonic() - self.flushed > SECONDS:
                self.file.flush()
                self.flushed = time.monotonic()

    def _add(self, **fields: Any) -> None:
        self.records.write(self.message(wall_time=time.time(), **fields).SerializeToString())

    def close(self) -> None:
        """Flush, ignoring errors: the run's own files have all data."""
        with suppress(OSError):
            self.file.close()
