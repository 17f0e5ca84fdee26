"""Events survive pickling, as Ray sends them, and say what curves they are."""

import pickle
from dataclasses import fields
from inspect import isclass

import pytest

from taskprompt import events

STEP = events.Step(
    step=7,
    stage=1,
    loss=3.0,
    losses={"a": 1.0, "b": 2.0},
    grad_norm=0.5,
    lr=0.1,
    clips_per_s=8.0,
    steps_per_s=2.0,
    left=3,
)
ALL = [
    STEP,
    events.Evaluated(7, {"real/a/top1": 0.5}),
    events.Saved(7, "step-00000007"),
    events.WeightsLoaded("a.pth: 2 of 2"),
    events.Warned("no label"),
    events.Waiting("1 GPU"),
    events.WorkerLost("a node was lost", 2),
    events.ScalingUp(1),
    events.Evaluating("real", 4, 16),
    events.Rendering("real", 4, 16),
    events.Labeling("captions", 4, 8, 16, 1.5, 2, 5, 1, 100),
    events.TrialChanged("003", "done", {"stages.0.lr": 0.1}, 7, 0.5, best=("002", 0.6)),
]


@pytest.mark.parametrize("event", ALL, ids=lambda e: type(e).__name__)
def test_an_event_survives_pickling_and_is_frozen(event):
    assert pickle.loads(pickle.dumps(event)) == event
    with pytest.raises(AttributeError):
        setattr(event, fields(event)[0].name, 1)


def test_every_event_is_here():
    classes = {c for c in vars(events).values() if isclass(c) and issubclass(c, events.Event)}
    assert {type(event) for event in ALL} == classes - {events.Event}
    assert all(cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}(") for cls in map(type, ALL))


def test_the_curves_of_a_step():
    curves = {"loss": 3.0, "loss/a": 1.0, "loss/b": 2.0, "grad_norm": 0.5, "lr": 0.1, "clips_per_s": 8.0}
    assert STEP.scalars() == curves
    assert [*STEP.scalars()] == [*curves]  # metrics.jsonl has this order
