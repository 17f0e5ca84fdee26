"""What TensorBoard itself reads of a training that is resumed."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from taskprompt.core.tracker import Tracker
from taskprompt.testing.tracker import training


def test_a_resumed_training_has_each_point_once(tmp_path):
    tracker = Tracker.model_validate({"kind": "tensorboard"})
    for made in (0, 2):  # the first job went on to step 4, and what it made behind step 2 was lost
        tracking = tracker.open(tmp_path / "curves", made)
        for event in training(made):
            tracking(event)
        tracking.close()
    found = EventAccumulator(str(tmp_path / "curves"))
    found.Reload()
    points = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert points["loss"] == [(1, 3.0), (2, 1.5), (3, pytest.approx(1 / 3)), (4, 0.75)]
    assert [step for step, _ in points["loss/depth"]] == [1, 2, 4]
    assert points["held_out/real/action/top1"] == [(2, 0.5), (4, 1.0)]
    assert set(points) == {
        *("loss", "loss/action", "loss/depth", "grad_norm", "lr", "clips_per_s", "held_out/real/action/top1")
    }
