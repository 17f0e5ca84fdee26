"""check_tracker: the requirements of trackers, on the events of a small training run."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taskprompt.core.events import Evaluated, Event, Saved, Step, Warned, WeightsLoaded
from taskprompt.core.tracker import Tracker, Tracking

RESUMED = 2  # the step to resume from


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event of a later version."""


def check_tracker(tracker: Tracker, folder: Path) -> None:
    """Feed it the events of a run of four steps, one resumed from step 2, and one that failed before its first step.

    folder: an empty folder; the tracker gets folder/tracker. Raises AssertionError with the violated requirement, or
    the tracker's own error."""
    again = Tracker.model_validate(json.loads(json.dumps(tracker.model_dump(mode="json"))))
    assert again == tracker, f"the spec changes in a round trip through JSON: {tracker} became {again}"
    pickle.dumps(tracker)  # raises if it cannot be sent to a worker
    assert not [*folder.iterdir()], f"give check_tracker an empty folder; {folder} is not"
    for made in (0, RESUMED):
        _show(tracker.open(folder / "tracker", made), made)
    tracker.open(folder / "tracker", 4).close()
    elsewhere = [path.name for path in folder.iterdir() if path.name != "tracker"]
    assert not elsewhere, f"it writes {elsewhere} outside of its folder"


def _show(tracking: Tracking, made: int) -> None:
    for event in training(made):
        found = tracking(event)  # type: ignore[func-returns-value]
        assert found is None, f"it returns {found!r} for {type(event).__name__}, expected None"
    tracking.close()


def training(made: int = 0) -> Iterator[Event]:
    """The events of training two tasks to step 4, from step `made` on; the second has no label at step 3."""
    if not made:
        yield WeightsLoaded("some/weights.pth: 2 of 2 tensors")
        yield Warned("class 'kick' has no clip.", 0)
    for step in range(made + 1, 5):
        losses = {"action": 1.0 / step} | ({} if step == 3 else {"depth": 2.0 / step})
        pace = {"clips_per_s": 8.0 * (step > made + 1), "steps_per_s": 2.0 * (step > made + 1)}
        yield Step(
            step=step, stage=0, loss=sum(losses.values()), losses=losses, grad_norm=0.5, lr=0.1, left=4 - step, **pace
        )
        if step % 2 == 0:
            yield Evaluated(step, {"real/action/top1": step / 4})
            yield Saved(step, f"step-{step:08d}")
        yield Unknown()
