"""Tracker: shows a training in another place or form while it runs: TensorBoard, a table, a web service."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from taskprompt.core.events import Event
from taskprompt.core.spec import Spec


class Tracking(ABC):
    """A tracker at work. It lives in the first worker, whose training waits until it returns.

    What it raises is told once, as a warning of the run, and it is called no more; the training goes on."""

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Called with Step, Evaluated, Saved, Warned and WeightsLoaded as they happen. It ignores all others."""

    @abstractmethod
    def close(self) -> None:
        """Called once, when the job ends, also where it fails."""


class Tracker(Spec):
    """Base of all trackers."""

    home: ClassVar[str] = "taskprompt.trackers"

    @abstractmethod
    def open(self, folder: Path, step: int) -> Tracking:
        """Called when a job begins, on the first worker.

        folder: a place in the run's folder for this tracker alone, called by its name in the recipe; make it if it is
        needed. step: the steps that are made. A run that is resumed from step 100 repeats the later ones, so what the
        tracker has kept of steps behind `step` is void."""
