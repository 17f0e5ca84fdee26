"""Tracker: sends the events of training to an external tool: TensorBoard, a table, a web service."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from taskprompt.core.events import Event
from taskprompt.core.spec import Spec


class Tracking(ABC):
    """An open tracker. It runs on worker 0, and training waits until it returns.

    If it raises, the run gets one warning and it is not called again; training continues."""

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Called with Step, Evaluated, Saved, Warned and WeightsLoaded as they happen. Must ignore other events."""

    @abstractmethod
    def close(self) -> None:
        """Called once, when the job ends, also if it fails."""


class Tracker(Spec):
    """Base class of trackers."""

    home: ClassVar[str] = "taskprompt.trackers"

    @abstractmethod
    def open(self, folder: Path, step: int) -> Tracking:
        """Called when a job begins, on worker 0.

        folder: the tracker's own folder inside the run's folder, with its name in the recipe; create it if needed.
        step: the number of completed steps. A run that is resumed from step 100 repeats later steps, so the tracker
        must drop earlier data of steps after `step`."""
