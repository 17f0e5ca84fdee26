"""Tables of an evaluation: verdicts, rows and lines, by hand."""

import math

import pytest

from taskprompt.core.metrics import Metric
from taskprompt.reporting.tables import evaluation_lines, evaluation_rows, verdict

NAN = math.nan


@pytest.mark.parametrize(
    ("better", "value", "interval", "trivial", "expected"),
    [
        ("max", 0.6, (0.5, 0.7), 0.4, "better"),
        ("max", 0.6, (0.5, 0.7), 0.55, "even"),
        ("max", 0.6, (0.5, 0.7), 0.8, "worse"),
        ("min", 0.6, (0.5, 0.7), 0.8, "better"),
        ("min", 0.6, None, 0.5, "worse"),
        ("min", 0.6, None, 0.6, "even"),
        (None, 0.6, (0.5, 0.7), 0.1, ""),
        ("max", NAN, (NAN, NAN), 0.1, ""),
        ("max", 0.6, None, NAN, ""),
        ("max", 0.6, (NAN, NAN), 0.5, "better"),
    ],
)
def test_the_verdict_needs_the_trivial_number_outside_the_interval(better, value, interval, trivial, expected):
    assert verdict(Metric("x", better=better), value, interval, trivial) == expected


RESULT = {
    "checkpoint": "step-00000002",
    "test_clips": 1,
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
                    "trivial_name": "majority class",
                    "measures": {"top1": {"unit": "%", "better": "max", "over": "clip", "title": "top-1"}},
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
