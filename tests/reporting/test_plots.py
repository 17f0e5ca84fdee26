"""Curves: what is drawn, and that every panel is one well-formed svg element."""

import math
from xml.etree import ElementTree

import numpy as np

from taskprompt.core.metrics import Metric
from taskprompt.reporting.plots import column, held_out_panels, limits, loss_panels, rate_panel, running_mean

STEPS = [
    {"step": i, "loss": 2.0, "loss/action": 1.0, "lr": 1e-3 * i} | ({"loss/depth": 0.5} if i % 2 else {})
    for i in range(1, 9)
]


def known(path: str) -> Metric:
    return Metric("AbsRel", "", "min") if path.endswith("AbsRel") else Metric("delta1", "%", "max", title="δ < 1.25")


def svg(panel):
    element = ElementTree.fromstring(panel.svg)
    assert element.tag == "{http://www.w3.org/2000/svg}svg"
    return element


def test_a_panel_a_task_then_the_sum():
    panels = loss_panels(STEPS)
    assert [p.title for p in panels] == ["action", "depth", "all tasks, weighted"]
    assert panels[1].note == "0.5 at the end"
    assert all(svg(p).get("aria-label") for p in panels)


def test_one_task_needs_no_sum():
    assert [p.title for p in loss_panels([{"step": 1, "loss": 1.0, "loss/a<b": 1.0}])] == ["a<b"]
    svg(loss_panels([{"step": 1, "loss": 1.0, "loss/a<b": 1.0}])[0])


def test_the_rate_has_its_peak_beside_it():
    (panel,) = rate_panel(STEPS)
    assert panel.note == "0.008 at its peak"


def test_nothing_is_drawn_of_nothing():
    assert loss_panels([]) == rate_panel([]) == held_out_panels([], known) == []
    assert held_out_panels([{"step": 6}], known) == []


def test_held_out_metrics_need_two_measurements():
    once = {"step": 1, "real/depth/AbsRel": 0.3, "real/depth/delta1": 0.5, "drawn/depth/AbsRel": 0.2}
    assert held_out_panels([once], known) == []
    panels = held_out_panels([once, once | {"step": 2, "real/depth/delta1": math.nan}], known)
    assert [(p.title, p.note, p.first) for p in panels] == [("depth: AbsRel", "↓", True)]
    (panel,) = held_out_panels([{"step": i, "real/depth/delta1": 0.25 * i} for i in (1, 2)], known)
    assert (panel.title, panel.note) == ("depth: δ < 1.25", "% ↑")
    assert {"24", "48"} <= {t.text for t in svg(panel).iter("{http://www.w3.org/2000/svg}text")}  # in percent


def test_columns_leave_out_what_is_absent_or_not_finite():
    steps, values = column([{"step": 1, "x": 2.0}, {"step": 2}, {"step": 3, "x": math.nan}, {"step": 4, "x": 5.0}], "x")
    assert steps.tolist() == [1, 4]
    assert values.tolist() == [2, 5]


def test_a_running_mean_is_short_at_its_ends():
    assert running_mean(np.array([1.0, 2.0, 3.0, 10.0]), 3).tolist() == [1.5, 2.0, 5.0, 6.5]
    assert running_mean(np.array([4.0, 2.0]), 1).tolist() == [4.0, 2.0]


def test_one_wild_step_does_not_flatten_a_curve():
    values = np.concatenate([np.linspace(1, 2, 500), [1000.0]])
    low, high = limits(values, values[:500])
    assert low < 1
    assert 2 < high < 3
