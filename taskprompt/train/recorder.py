"""Recorder: writes the events of training to the run's folder, and passes them on to trackers and to `watch`."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from taskprompt.core.errors import WriteError, told
from taskprompt.core.events import Evaluated, Event, Saved, Step, Warned
from taskprompt.core.tracker import Tracker, Tracking
from taskprompt.runs.run import Run
from taskprompt.train.loop import StepResult

log = logging.getLogger("taskprompt")


class Recorder:
    """Runs on worker 0. `step`: the number of completed steps."""

    def __init__(self, run: Run, trackers: Mapping[str, Tracker], step: int, notify: Callable[[Event], None]):
        self.run, self.step, self.notify = run, step, notify
        self.clock = 0.0  # when the first step of this job ended
        self.steps = self.clips = 0  # made since then
        self.trackings: dict[str, Tracking] = {}
        for name, tracker in trackers.items():
            try:
                self.trackings[name] = tracker.open(run.path / name, step)
            except Exception as error:
                self._leave_out(name, error)

    def __call__(self, event: Event) -> None:
        """Raises WriteError if the run's own files cannot be written; an error of a tracker is a warning."""
        match event:
            case Step():
                self.step = event.step
                self.run.append("metrics.jsonl", {"step": event.step, "stage": event.stage, **event.scalars()})
            case Evaluated():
                self.run.append("held_out.jsonl", {"step": event.step, **event.metrics})
            case Warned():
                log.warning("step %d: %s", self.step, event.text)
                self.run.append("warnings.jsonl", {"step": self.step, "text": event.text})
        for name in [*self.trackings]:
            if name in self.trackings:  # it may have failed and been removed
                try:
                    self.trackings[name](event)
                except Exception as error:
                    self._leave_out(name, error)
        if isinstance(event, Saved):
            self.run.push()  # including files of trackers
        self.notify(event)

    def note(self, made: StepResult, step: int, stage: int, left: int) -> None:
        """Record a step of the loop, which is `step` of the run. The speed excludes start-up."""
        now = time.monotonic()
        if self.clock:
            self.steps, self.clips = self.steps + 1, self.clips + made.samples
        else:
            self.clock = now
        seconds = max(now - self.clock, 1e-6)
        event = Step(
            step=step,
            stage=stage,
            loss=made.total,
            losses={n: v for n, v in made.losses.items() if v == v},  # NaN: no label
            grad_norm=made.norm,
            lr=made.lr,
            clips_per_s=round(self.clips / seconds, 2),
            steps_per_s=self.steps / seconds,
            left=left,
        )
        self(event)

    def warn(self, text: str) -> None:
        """Record a warning; training continues."""
        self(Warned(text, self.step))

    def _leave_out(self, name: str, error: Exception) -> None:
        """Warn about a failed tracker and stop calling it."""
        tracking = self.trackings.pop(name, None)
        if tracking is not None:
            with suppress(Exception):
                tracking.close()
        self.warn(f"tracker {name!r} failed and is disabled; training continues. {told(error)}")

    def close(self) -> None:
        """Close the trackers."""
        for name in [*self.trackings]:
            tracking = self.trackings.pop(name)
            try:
                tracking.close()
            except Exception as error:
                with suppress(WriteError):  # must not hide the error that ended the job
                    self._leave_out(name, error)
