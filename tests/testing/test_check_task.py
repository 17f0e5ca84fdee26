"""check_task on metrics: what the meter gives is what is declared, and a better output measures better."""

import pytest
from brightness import Brightness
from rated import Less, More
from torchmetrics import MaxMetric, MetricCollection

from taskprompt import Dims, Metric
from taskprompt.testing import check_task

DIMS = Dims(4, 16, 16, (2, 2, 2), 8)


class Perfect(Less):
    """It knows the output that reproduces the target."""

    def perfect(self, target):
        return target["level"]


@pytest.mark.parametrize("task", [Perfect(), Less(), More(), Brightness()])
def test_what_is_right(task):
    check_task(task, DIMS, "left", "right")


@pytest.mark.parametrize(
    ("measures", "said"),
    [
        ([Metric("score", "", "max")], "score of another output is better than the perfect one's"),
        ([Metric("score"), Metric("other")], "metric other: the meter does not give it"),
        ([Metric("score", "%", "min")], "metric score: is .*, expected a share in 0 to 1, since its unit is %"),
    ],
)
def test_what_is_not_as_declared(monkeypatch, measures, said):
    monkeypatch.setattr(Perfect, "measures", lambda self: tuple(measures))
    with pytest.raises(AssertionError, match=said):
        check_task(Perfect(), DIMS, "left", "right")


class Largest(MaxMetric):
    """The largest of all samples' scores."""

    def update(self, output, target):  # type: ignore[override]
        super().update((output - target["level"]).abs().max())


class Most(Less):
    """Its metric is none over clips."""

    def meter(self):
        return MetricCollection({"score": Largest()})


def test_a_mean_over_clips_is_one(monkeypatch):
    with pytest.raises(AssertionError, match=r"the meter says .*, its mean over clips .*; declare it with over=.set."):
        check_task(Most(), DIMS, "left", "right")
    monkeypatch.setattr(Most, "measures", lambda self: (Metric("score", "", "min", over="set"),))
    check_task(Most(), DIMS, "left", "right")
    monkeypatch.setattr(Less, "metrics", lambda self, output, target: {})
    monkeypatch.setattr(Most, "measures", lambda self: (Metric("score", "", "min"),))
    with pytest.raises(AssertionError, match=r"metric score: metrics\(\) does not give it; declare it with over=.set."):
        check_task(Most(), DIMS, "left", "right")
