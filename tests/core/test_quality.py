"""Flags of answers: each by examples, and what is no fault."""

import pytest

from taskprompt.core.quality import flags, flags_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A person in a red shirt waves at the camera.", ()),
        ("Waving.", ()),
        ("", ("empty",)),
        (" -- \n", ("empty",)),
        ("I'm sorry, I can't help with that.", ("refused",)),
        ("I\u2019m unable to determine the action.", ("refused",)),
        ("As an AI language model, I have no eyes.", ("refused",)),
        ("I can see a person who cannot reach the table.", ()),
        ("Sorry-looking flowers stand on a table.", ("refused",)),  # a price of looking at the first words alone
        ("the man the man the man the man the man the man the man", ("repetitive",)),
        ("no no no no", ()),  # too short to tell
        ("left foot, right foot, left foot, right foot, then the person turns and walks back to the wall", ()),
    ],
)
def test_one_answer(text, expected):
    assert flags_of(text, cut=False) == expected


def test_cut_off():
    assert flags_of("A person walks towards the", cut=True) == ("truncated",)


def test_answers_that_many_clips_share():
    texts = ["The image shows a video."] * 2 + ["the image  shows a VIDEO."] + [f"clip {i}" for i in range(37)]
    found = flags(texts, [False] * 40)
    assert found[:4] == [("duplicate",)] * 3 + [()]
    assert flags(texts + [f"more {i}" for i in range(40)], [False] * 80)[0] == ()  # 3 of 80 is less than a twentieth
    assert flags(["same", "same"], [False, False]) == [(), ()]
