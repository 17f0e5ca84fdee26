"""Which moments a clip shows."""

import numpy as np
import pytest

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.moment import Middle, Part, Random
from taskprompt.video.sampling import sample_times


def test_the_middle_window():
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=2), 0, 10, Middle()), [4, 4.5, 5, 5.5])
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=2), 3, 5, Middle()), [3, 3.5, 4, 4.5])


def test_a_short_span_repeats_its_last_moment():
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=2), 1, 2.2, Middle()), [1, 1.5, 2, 2.198])


def test_segments_over_the_whole_span():
    np.testing.assert_allclose(sample_times(ClipSpec(frames=4, fps=None), 2, 10, Middle()), [3, 5, 7, 9])
    rng = np.random.default_rng(0)
    drawn = np.stack([sample_times(ClipSpec(frames=4, fps=None), 2, 10, Random(rng)) for _ in range(500)])
    assert ((drawn - [2, 4, 6, 8]) // 2 == 0).all()
    np.testing.assert_allclose(drawn.mean(0), [3, 5, 7, 9], atol=0.1)


def test_the_parts_are_spread_evenly():
    """Each window begins in the middle of one third of the 8 s in which one may begin."""
    spec = ClipSpec(frames=4, fps=2)
    np.testing.assert_allclose([sample_times(spec, 1, 11, Part(i, 3))[0] for i in range(3)], [1 + 8 / 6, 5, 1 + 40 / 6])
    np.testing.assert_allclose(sample_times(ClipSpec(frames=2, fps=None), 0, 8, Part(1, 4)), [1.5, 5.5])


@pytest.mark.parametrize("fps", [0.5, 3.0, None])
def test_one_part_is_the_middle(fps):
    spec = ClipSpec(frames=6, fps=fps)
    np.testing.assert_array_equal(sample_times(spec, 1.5, 7.25, Part(0, 1)), sample_times(spec, 1.5, 7.25, Middle()))


@pytest.mark.parametrize("fps", [3.0, None])
def test_the_draws_are_those_of_the_generator(fps):
    """One draw places a window, one draw a part places its time: which is what recorded losses rest on."""
    times, rng = (
        sample_times(ClipSpec(frames=3, fps=fps), 0, 9, Random(np.random.default_rng(4))),
        np.random.default_rng(4),
    )
    expected = rng.random() * 8 + np.arange(3) / 3.0 if fps else (np.arange(3) + rng.random(3)) * 9 / 3
    np.testing.assert_array_equal(times, expected)


@pytest.mark.parametrize(("index", "of"), [(3, 3), (-1, 2), (0, 0)])
def test_a_part_that_is_not_there(index, of):
    with pytest.raises(SpecError, match="expected an index from 0 on and below `of`"):
        Part(index, of)


@pytest.mark.parametrize("fps", [0.5, 3.0, 30.0, None])
def test_random_times_stay_inside_and_are_repeatable(fps):
    spec = ClipSpec(frames=6, fps=fps)
    begins = []
    for seed in range(200):
        times = sample_times(spec, 1.5, 7.25, Random(np.random.default_rng(seed)))
        assert (times >= 1.5).all()
        assert (times < 7.25).all()
        assert (np.diff(times) >= 0).all()
        np.testing.assert_array_equal(times, sample_times(spec, 1.5, 7.25, Random(np.random.default_rng(seed))))
        begins.append(times[0])
    room = 7.25 - 1.5 - 6 / fps if fps else 5.75 / 6
    if room > 0:  # every place is as likely
        assert np.mean(begins) == pytest.approx(1.5 + room / 2, abs=0.15 * room)
