"""Training clips are augmented as their source says, else as the recipe says; held-out ones never are."""

import numpy as np
import pytest

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
