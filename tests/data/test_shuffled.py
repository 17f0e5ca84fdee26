"""Shuffled labels: each clip has all labels of another one, the same in every epoch, fitted to its frames."""

from dataclasses import replace

import numpy as np
import squares as drawn

from taskprompt.core.types import Boxes, Map
from taskprompt.data.order import epoch_order, locate
from taskprompt.data.reader import Reader, make_reader
from taskprompt.recipe.recipe import Recipe


class Sized(drawn.Squares):
    """Frames of two sizes; clip i is i + 1 metres deep, and has a box over its left half."""

    def own_labels(self):
        return ("depth", "boxes")

    def load(self, row, clip, moment):
        sample, side = super().load(row, clip, moment), 32 + 32 * (row["index"] % 2)
        video = np.full((clip.frames, side, side, 3), row["index"], np.uint8)
        half = np.tile(np.array([0, 0, side / 2, side], np.float32), (clip.frames, 1, 1))
        depth = np.full(video.shape[:3], row["index"] + 1, np.float32)
        labels = {"depth": Map(depth), "boxes": Boxes(half)}
        return replace(sample, clip=replace(sample.clip, video=video), labels=labels)


def reader(squares: dict, permute_labels: int | None) -> Reader:
    recipe = squares | {
        "sources": {"sized": {"kind": f"{__name__}:Sized", "clips": 10, "permute_labels": permute_labels}},
        "held_out": {},
        "augment": {"scale": [1, 1], "flip": 0},
        "tasks": {"depth": {"kind": "depth", "height": 8, "width": 8, "far": 100}, "boxes": {"kind": "boxes"}},
    }
    found = Recipe.model_validate(recipe)
    return make_reader(found, "sized", found.sources["sized"], training=True)


def test_labels_are_another_clips_in_every_epoch(squares):
    own, others, exchanged = reader(squares, None), reader(squares, 3), epoch_order(10, 3, 0)
    assert sorted(exchanged) == list(range(10))
    assert sum(exchanged != np.arange(10)) >= 7
    for position in range(30):
        index = locate(position, 10, own.seed)[1]
        for one, depth in ((own, index), (others, exchanged[index])):
            columns = one.read(position)
            assert columns["key"] == f"squares/{index}"
            assert (columns["video"] == index).all()
            np.testing.assert_allclose(columns["depth/depth"], depth + 1)


def test_labels_of_a_clip_of_another_size_are_scaled(squares):
    exchanged = epoch_order(10, 3, 0)
    assert any(i % 2 != j % 2 for i, j in enumerate(exchanged))
    for position in range(10):
        boxes = reader(squares, 3).read(position)["boxes/boxes"][:, 0]
        np.testing.assert_allclose(boxes, np.tile([0.25, 0.5, 0.5, 1.0], (4, 1)), atol=1e-6)
