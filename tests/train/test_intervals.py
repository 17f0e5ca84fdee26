"""Intervals stand only beside figures that are means over clips."""

import math

import numpy as np
import pytest

from taskprompt.core.metrics import Metric
from taskprompt.evaluation.evaluate import interval, is_mean


def test_a_figure_that_is_no_mean_over_clips_gets_no_interval():
    whole, clips = Metric("mIoU", "%", "max", over="set"), Metric("top1", "%", "max")
    assert is_mean(whole, [0.2, 0.4, math.nan], 0.3)
    assert not is_mean(whole, [0.2, 0.4], 0.35)  # from one confusion matrix of the set, say
    assert not is_mean(whole, [math.nan], math.nan)
    assert not is_mean(whole, [0.2, 0.4], math.nan)
    assert is_mean(clips, [0.2, 0.4, math.nan], 0.3)
    assert not is_mean(clips, [math.nan], math.nan)


def test_shares_get_wilson_s_interval_and_others_the_normal_one():
    assert interval(np.array([1.0, 0.0])) == pytest.approx((0.0945, 0.9055), abs=1e-4)  # one of two
    values = np.array([1.0, 2.0, 3.0, math.nan])  # deviation 1, three clips
    assert interval(values) == pytest.approx((2 - 1.959964 / 3**0.5, 2 + 1.959964 / 3**0.5))
    assert all(map(math.isnan, interval(np.array([math.nan]))))
