"""The order of epochs, and quotas cut from chunks of any size."""

import numpy as np
import pytest

from taskprompt.core.errors import ErrorRecord, SourceError
from taskprompt.data.order import locate, sample_rng, source_seed
from taskprompt.data.stream import Stream


def test_every_row_once_an_epoch_and_each_epoch_anew():
    epochs = [[locate(e * 7 + i, 7, 3)[1] for i in range(7)] for e in range(3)]
    assert all(sorted(e) == list(range(7)) for e in epochs)
    assert len({tuple(e) for e in epochs}) == 3
    assert locate(15, 7, 3)[0] == 2


def test_randomness_follows_seed_epoch_and_key_alone():
    draw = lambda *a: sample_rng(*a).integers(1 << 40)  # noqa: E731
    assert draw(1, 2, "k") == draw(1, 2, "k")
    assert len({draw(1, 2, "k"), draw(1, 3, "k"), draw(2, 2, "k"), draw(1, 2, "j")}) == 4
    assert source_seed(0, "a") != source_seed(0, "b")


def chunks(sizes, bad=(), stride=1):
    at = 0
    for size in sizes:
        positions = np.arange(at, at + size) * stride
        error = np.array([ErrorRecord("SampleError", "broken", f"k{p}").dumps() if p in bad else "" for p in positions])
        yield {"index": positions, "key": np.array([f"k{p}" for p in positions]), "error": error}
        at += size


def take(stream: Stream, quota: int) -> dict[str, np.ndarray]:
    columns = stream.take(quota)
    assert columns is not None
    return columns


@pytest.mark.parametrize("sizes", [[12], [5, 7], [1] * 12, [3, 3, 3, 3]])
def test_quotas_do_not_depend_on_chunks(sizes):
    stream = Stream("s", chunks(sizes, bad={1, 4}), 0, 1, 12, 1.0)
    taken = [list(take(stream, 3)["index"]) for _ in range(3)]
    assert taken == [[0, 2, 3], [5, 6, 7], [8, 9, 10]]
    assert stream.skipped == {"k1": "broken", "k4": "broken"}
    assert stream.cursor == 11


def test_a_stream_goes_on_where_its_cursor_stood():
    first = Stream("s", chunks([6, 6], bad={2}), 0, 1, 12, 1.0)
    first.take(4)
    assert first.cursor == 5
    rest = ({k: v[v0:] for k, v in c.items()} for c, v0 in zip(chunks([12], bad={2}), [first.cursor], strict=True))
    assert list(take(Stream("s", rest, first.cursor, 1, 12, 1.0), 4)["index"]) == [5, 6, 7, 8]


def test_the_end_gives_what_is_left_then_none():
    stream = Stream("s", chunks([5]), 0, 1, 5, 1.0)
    assert [len(take(stream, 4)["key"]), len(take(stream, 4)["key"]), stream.take(4)] == [4, 1, None]


def test_too_many_bad_clips_stop_the_run_and_say_why():
    stream = Stream("real", chunks([20], bad=set(range(5))), 0, 1, 20, 0.2)
    with pytest.raises(
        SourceError, match=r"'real': 5 of 20 clips cannot be used, more than max_skipped 0\.2.*k0: broken"
    ):
        stream.take(20)


def test_a_source_without_one_good_clip_does_not_wait_for_ever():
    endless = (c for _ in range(100) for c in chunks([4], bad={0, 1, 2, 3}))
    with pytest.raises(SourceError, match="none of its 4 clips is usable"):
        Stream("s", endless, 0, 1, 4, 1.0).take(1)
