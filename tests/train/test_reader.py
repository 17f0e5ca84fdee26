"""Training clips are augmented as their source says, else as the recipe says; held-out ones never are."""

from dataclasses import replace

import numpy as np
import pytest
from squares import Squares

from taskprompt.core.recipe import Recipe
from taskprompt.train.reader import make_reader

STILL = {"scale": [1, 1], "flip": 0}


@pytest.mark.parametrize(("own", "training", "grain"), [(None, True, True), (STILL, True, False), (None, False, False)])
def test_a_source_may_have_an_augmentation_of_its_own(squares, own, training, grain):
    squares["augment"] = STILL | {"noise": 40}
    squares["sources"]["rendered"]["augment"] = own
    recipe = Recipe.model_validate(squares)
    read = make_reader(recipe, "rendered", recipe.sources["rendered"], training).read
    levels = [np.unique(read(i)["video"]) for i in range(6)]
    assert any(len(found) > 10 for found in levels) == grain
    if not grain:
        assert all(found.tolist() == [40, 220] for found in levels)


class Moments(Squares):
    """Squares, one grey a moment: as a video of which each clip shows another part."""

    def load(self, row, clip, rng):
        sample = super().load(row, clip, rng)
        moment = 0 if rng is None else int(rng.integers(1, 200))
        return replace(sample, clip=replace(sample.clip, video=np.full_like(sample.clip.video, moment)))


@pytest.mark.parametrize("shuffle", [None, 3])
@pytest.mark.parametrize("jitter", [True, False])
def test_without_jitter_a_clip_shows_the_same_moments_every_time(squares, jitter, shuffle):
    squares["augment"] = STILL | {"jitter": jitter}
    recipe = Recipe.model_validate(squares)
    source = Moments(clips=10, only=("depth",), shuffle=shuffle)
    read = make_reader(recipe, "rendered", source, training=True).read
    moments = [int(read(i)["video"].max()) for i in range(20)]  # two epochs
    assert (len(set(moments)) > 15) == jitter
    assert (set(moments) == {0}) != jitter
