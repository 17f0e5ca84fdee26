"""How metrics are read: names, units, directions, verdicts, by hand."""

import math

import pytest

from taskprompt.reporting.tables import evaluation_lines, evaluation_rows, reading, verdict

NAN = math.nan


@pytest.mark.parametrize(
    ("metric", "name", "unit", "better"),
    [
        ("top1", "top-1", "%", "max"),
        ("delta1", "δ < 1.25", "%", "max"),
        ("within_11.25_deg", "within 11.25°", "%", "max"),
        ("mIoU", "mIoU", "%", "max"),
        ("AP50", "AP50", "%", "max"),
        ("AbsRel", "AbsRel", "", "min"),
        ("RMSE_m", "RMSE", "m", "min"),
        ("RMSE_m_image", "RMSE, by frame", "m", "min"),
        ("median_deg", "median angle", "°", "min"),
        ("PA_MPJPE_mm", "PA-MPJPE", "mm", "min"),
        ("MAE_s", "MAE", "s", "min"),
        ("contacts_found", "contacts found", "", None),  # a user's own: nothing says which way is better
        ("reach_cm", "reach", "cm", None),
        ("mean", "mean", "", None),  # a mean of what? only an angle's is an error
        ("m", "m", "", None),
    ],
)
def test_a_metric_is_read_from_its_name(metric, name, unit, better):
    found = reading(metric, better)
    assert (found.name, found.unit, found.arrow) == (name, unit, {"max": "↑", "min": "↓", None: ""}[better])


def test_numbers_carry_their_units():
    assert reading("top1").text(0.2604) == "26.0\u00a0%"
    assert reading("median_deg").text(12.34) == "12.3°"
    assert reading("MPJPE_mm").text(104.6) == "105\u00a0mm"
    assert reading("AbsRel").text(0.08789) == "0.088"
    assert reading("AbsRel").text(NAN) == "\u2013"
    assert reading("top1").range([0.2, 0.4]) == "20.0 to 40.0\u00a0%"
    assert reading("top1").range([NAN, NAN]) == reading("top1").range(None) == ""


@pytest.mark.parametrize(
    ("better", "value", "interval", "trivial", "expected"),
    [
        (1, 0.6, (0.5, 0.7), 0.4, "better"),
        (1, 0.6, (0.5, 0.7), 0.55, "even"),
        (1, 0.6, (0.5, 0.7), 0.8, "worse"),
        (-1, 0.6, (0.5, 0.7), 0.8, "better"),
        (-1, 0.6, None, 0.5, "worse"),
        (-1, 0.6, None, 0.6, "even"),
        (0, 0.6, (0.5, 0.7), 0.1, ""),
        (1, NAN, (NAN, NAN), 0.1, ""),
        (1, 0.6, None, NAN, ""),
        (1, 0.6, (NAN, NAN), 0.5, "better"),
    ],
)
def test_the_verdict_needs_the_trivial_number_outside_the_interval(better, value, interval, trivial, expected):
    assert verdict(better, value, interval, trivial) == expected


RESULT = {
    "checkpoint": "step-00000002",
    "sources": {
        "real": {
            "rows": 5,
            "skipped": {"a": "a: is empty."},
            "tasks": {
                "action": {
                    "kind": "Action",
                    "clips": 4,
                    "metrics": {"top1": 0.75},
                    "interval": {"top1": [0.3, 0.95]},
                    "trivial": {"top1": 0.25},
                    "better": {"top1": "max"},
                },
                "grip": {"kind": "Grip", "clips": 4, "metrics": {"force": NAN}, "interval": {}, "trivial": {}},
                "depth": {"kind": "Depth", "clips": 0},
            },
        }
    },
}


def test_an_evaluation_becomes_rows_for_a_terminal():
    assert evaluation_rows(RESULT) == [
        ("real", "action", "4", "top-1 ↑", "75.0\u00a0%", "30.0 to 95.0\u00a0%", "25.0\u00a0% (majority class)"),
        ("real", "grip", "4", "force", "\u2013", "", ""),
    ]


def test_lines_say_which_predictor_was_beaten():
    action, grip = evaluation_lines(RESULT)
    assert (action.guess, action.verdict) == ("majority class", "better")
    assert (grip.guess, grip.trivial, grip.verdict) == ("", "", "")
