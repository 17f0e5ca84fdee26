"""What is left when the number of workers changes: by hand, and for any history of changes."""

import random

from taskprompt.data.feed import Way
from taskprompt.data.order import Course


def test_nothing_is_left_behind_where_workers_kept_pace():
    assert Course().after([6, 7]) == Course((6,), 7)  # worker 0 is next at 6, worker 1 at 7
    assert Course().after([6, 5]) == Course((5,), 6)
    assert Course().after([8]) == Course((), 8)


def test_what_a_slow_worker_had_before_it_comes_first():
    left = Course().after([10, 5])  # worker 1 has still 5, 7 and 9 before it
    assert left == Course((5, 7, 9), 10)
    assert [left(k) for k in range(5)] == [5, 7, 9, 10, 11]
    # two of three workers took one index each of that course, those of 5 and 7
    assert left.after([3, 4, 2]) == Course((9, 10), 11)


def test_any_history_hands_out_every_position_once():
    dice = random.Random(0)
    for _ in range(50):
        way, taken = Way(), []
        for _ in range(5):
            way = way.among(dice.randint(1, 4))
            cursors = list(way.cursors)
            for _ in range(dice.randint(0, 40)):
                rank = dice.randrange(len(cursors))
                taken.append(way.course(cursors[rank]))
                cursors[rank] += len(cursors)
            way = Way(way.course, tuple(cursors))
        alone = way.among(1) if len(way.cursors) > 1 else way
        rest = [alone.course(alone.cursors[0] + k) for k in range(300)]
        together = sorted(taken + rest)
        assert together == list(range(len(together)))
