"""How numbers of a metric are shown, and what is no metric, by hand."""

import math

import pytest

from taskprompt.core.errors import SpecError
from taskprompt.core.metrics import Metric, declared, from_record, undeclared

NAN = math.nan
TOP1 = Metric("top1", "%", "max", title="top-1")


@pytest.mark.parametrize(
    ("metric", "title", "symbol", "arrow"),
    [
        (TOP1, "top-1", "%", "↑"),
        (Metric("RMSE_m", "m", "min"), "RMSE", "m", "↓"),
        (Metric("median_deg", "deg", "min"), "median", "°", "↓"),
        (Metric("contacts_found", better="max"), "contacts found", "", "↑"),
        (undeclared("reach_cm"), "reach cm", "", ""),  # nothing is read from a name
        (undeclared("accuracy"), "accuracy", "", ""),
    ],
)
def test_titles_units_and_arrows(metric, title, symbol, arrow):
    assert (metric.title, metric.symbol, metric.arrow) == (title, symbol, arrow)


def test_numbers_carry_their_units():
    assert TOP1.text(0.2604) == "26.0\u00a0%"
    assert Metric("median_deg", "deg").text(12.34) == "12.3°"
    assert Metric("MPJPE_mm", "mm").text(104.6) == "105\u00a0mm"
    assert Metric("speed", "m/s").text(1.5) == "1.500\u00a0m/s"
    assert Metric("AbsRel").text(0.08789) == "0.088"
    assert Metric("AbsRel").text(NAN) == "\u2013"
    assert undeclared("accuracy").text(0.26044) == "0.260"
    assert TOP1.range([0.2, 0.4]) == "20.0 to 40.0\u00a0%"
    assert TOP1.range([NAN, NAN]) == TOP1.range(None) == ""


def test_a_record_is_the_metric_without_its_name():
    assert TOP1.record() == {"unit": "%", "better": "max", "over": "clip", "title": "top-1"}
    assert from_record("top1", TOP1.record() | {"more": 1}) == TOP1
    assert from_record("top1", None) == undeclared("top1")
    assert (TOP1.with_mode("min").better, TOP1.with_mode(None).better) == ("min", "max")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Metric("top1", "%", "most"), "metric 'top1': better is 'most', expected one of 'max', 'min', None"),  # type: ignore
        (lambda: Metric("top1", over="clips"), "over is 'clips', expected one of 'clip', 'set'"),  # type: ignore
        (lambda: Metric("top1", "max"), "the unit is 'max'. Write Metric(name, unit, better)"),
        (lambda: declared("Own", [TOP1, TOP1]), "Own.measures names the metric 'top1' twice"),
        (lambda: declared("Own", ["top1"]), "Own.measures gives a str, expected a tuple of Metric"),  # type: ignore
        (lambda: declared("Own", [Metric("a/b")]), "names a metric 'a/b', expected a name without a slash"),
    ],
)
def test_what_is_no_metric(make, said):
    with pytest.raises(SpecError) as error:
        make()
    assert said in str(error.value)
