"""What is left when the number of workers changes: by hand, and for any history of changes."""

import random

from taskprompt.data.feed import StreamPosition
from taskprompt.data.order import IndexSequence


def test_nothing_is_left_behind_where_workers_kept_pace():
    assert IndexSequence().after([6, 7]) == IndexSequence((6,), 7)  # worker 0 is next at 6, worker 1 at 7
    assert IndexSequence().after([6, 5]) == IndexSequence((5,), 6)
    assert IndexSequence().after([8]) == IndexSequence((), 8)


def test_what_a_slow_worker_had_before_it_comes_first():
    left = IndexSequence().after([10, 5])  # worker 1 has still 5, 7 and 9 before it
    assert left == IndexSequence((5, 7, 9), 10)
    assert [left(k) for k in range(5)] == [5, 7, 9, 10, 11]
    # two of three workers took one index each of that sequence, those of 5 and 7
    assert left.after([3, 4, 2]) == IndexSequence((9, 10), 11)


def test_any_history_hands_out_every_position_once():
    dice = random.Random(0)
    for _ in range(50):
        position, taken = StreamPosition(), []
        for _ in range(5):
            position = position.among(dice.randint(1, 4))
            cursors = list(position.cursors)
            for _ in range(dice.randint(0, 40)):
                rank = dice.randrange(len(cursors))
                taken.append(position.sequence(cursors[rank]))
                cursors[rank] += len(cursors)
            position = StreamPosition(position.sequence, tuple(cursors))
        alone = position.among(1) if len(position.cursors) > 1 else position
        rest = [alone.sequence(alone.cursors[0] + k) for k in range(300)]
        together = sorted(taken + rest)
        assert together == list(range(len(together)))
