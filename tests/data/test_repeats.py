"""Repeated augmentation: a clip comes several times in a row, each time augmented anew, and so often in an epoch."""

from collections import Counter

import numpy as np
import pytest

from taskprompt.data.reader import make_reader
from taskprompt.recipe.recipe import Recipe


def reader(squares: dict, repeats: int):
    recipe = squares | {"augment": {"scale": [0.5, 1], "brightness": 0.3}}
    recipe["sources"] = {n: s | {"repeats": repeats} for n, s in squares["sources"].items()}
    found = Recipe.model_validate(recipe)
    name = next(iter(found.sources))
    return make_reader(found, name, found.sources[name], training=True)


def test_a_clip_comes_several_times_in_a_row(squares):
    once, twice = reader(squares, 1), reader(squares, 2)
    count = len(once)
    first, both = once(np.arange(count)), twice(np.arange(2 * count))
    assert (both["key"].reshape(count, 2) == first["key"][:, None]).all()
    assert set(Counter(both["key"].tolist()).values()) == {2}
    assert (both["video"][::2] == first["video"]).all()  # the first time it is what it would be alone
    assert (both["video"][1::2] != first["video"]).any((1, 2, 3, 4)).mean() > 0.5
    later = twice(np.arange(2 * count, 4 * count))
    assert sorted(later["key"]) == sorted(both["key"])


def test_held_out_clips_come_once(squares):
    name, source = next(iter(squares["held_out"].items()))
    with pytest.raises(ValueError, match="repeats: found 2, but held-out clips are shown once"):
        Recipe.model_validate(squares | {"held_out": {name: source | {"repeats": 2}}})
