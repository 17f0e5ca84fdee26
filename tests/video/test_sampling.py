"""Which moments a clip shows."""

import numpy as np
import pytest

from taskprompt.core.source import ClipSpec
from taskprompt.video.sampling import sample_times


def test_the_middle_window():
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=2), 0, 10, None), [4, 4.5, 5, 5.5])
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=2), 3, 5, None), [3, 3.5, 4, 4.5])


def test_a_short_span_repeats_its_last_moment():
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=2), 1, 2.2, None), [1, 1.5, 2, 2.198])


def test_segments_over_the_whole_span():
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=None), 2, 10, None), [3, 5, 7, 9])
    rng = np.random.default_rng(0)
    drawn = np.stack([sample_times(ClipSpec(frames=4, fps=None), 2, 10, rng) for _ in range(500)])
    assert ((drawn - [2, 4, 6, 8]) // 2 == 0).all()
    np.testing.assert_allclose(drawn.mean(0), [3, 5, 7, 9], atol=0.1)


@pytest.mark.parametrize("fps", [0.5, 3.0, 30.0, None])
def test_random_times_stay_inside_and_are_repeatable(fps):
    spec = ClipSpec(frames=6, fps=fps)
    begins = []
    for seed in range(200):
        times = sample_times(spec, 1.5, 7.25, np.random.default_rng(seed))
        assert (times >= 1.5).all()
        assert (times < 7.25).all()
        assert (np.diff(times) >= 0).all()
        np.testing.assert_array_equal(times, sample_times(spec, 1.5, 7.25, np.random.default_rng(seed)))
        begins.append(times[0])
    room = 7.25 - 1.5 - 6 / fps if fps else 5.75 / 6
    if room > 0:  # every place is as likely
        assert np.mean(begins) == pytest.approx(1.5 + room / 2, abs=0.15 * room)
