"""Strips: which clips are shown, and what of them."""

import base64
import io

import numpy as np
import torch
from PIL import Image

from taskprompt.evaluation.evaluate import held_out_readers
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting.strips import GAP, TILE, TITLE, chosen, laid_out, shown, spread, strips


def test_any_start_of_the_list_is_spread_out():
    assert spread(9, 5) == [0, 8, 4, 2, 6]
    assert spread(1, 5) == [0]
    assert spread(0, 5) == []
    assert sorted(spread(7, 100)) == list(range(7))


def test_clips_of_every_class_come_first_and_broken_ones_never(squares):
    squares["held_out"]["test"] |= {"clips": 9, "broken": [0, 8]}
    reader = held_out_readers(validate(squares, "r", Recipe))["test"]
    keys = [str(c["key"]) for c in chosen(reader, 3)]
    assert len(keys) == len(set(keys)) == 3
    assert {int(k.split("/")[1]) % 2 for k in keys[:2]} == {0, 1}  # odd clips move right, even ones left
    assert not {"squares/0", "squares/8"} & set(keys)


def test_four_frames_are_the_middles_of_four_parts():
    assert shown(16) == [2, 6, 10, 14]
    assert shown(4) == [0, 1, 2, 3]
    assert shown(1) == [0]


def test_rows_lie_under_each_other():
    red, wide = np.full((6, 10, 10, 3), (255, 0, 0), np.uint8), np.zeros((6, 10, 20, 3), np.uint8)
    sheet = np.asarray(laid_out([("clip", red), ("depth: predicted", wide)]))
    assert sheet.shape == (2 * (TITLE + TILE) + GAP, 4 * 2 * TILE + 3 * GAP, 4)
    assert (sheet[TITLE : TITLE + TILE, :TILE] == (255, 0, 0, 255)).all()
    assert (sheet[TITLE : TITLE + TILE, 4 * TILE + 3 * GAP :, 3] == 0).all()  # nothing beside the narrow row


def test_every_task_is_drawn_with_its_label_where_there_is_one(squares):
    squares["held_out"]["test"]["only"] = ["depth"]
    recipe = validate(squares, "r", Recipe)
    (strip,) = strips(build_model(recipe), recipe, torch.device("cpu"), count=1)
    assert (strip.source, strip.tasks) == ("test", ("action", "depth"))
    assert strip.height == 4 * (TITLE + TILE + GAP) - GAP  # clip; action predicted; depth predicted, label
    image = Image.open(io.BytesIO(base64.b64decode(strip.image.removeprefix("data:image/png;base64,"))))
    assert image.size == (strip.width, strip.height)
