"""Training clips are augmented as their source says, else as the recipe says; targets change nothing for each other."""

from dataclasses import replace

import numpy as np
import pytest
from squares import Squares

from taskprompt.core.errors import SourceError, TaskError
from taskprompt.core.moment import Random
from taskprompt.core.types import Boxes, Clip, Dims, Map, Sample
from taskprompt.data.batch import prepare
from taskprompt.data.reader import make_reader
from taskprompt.recipe.recipe import Recipe
from taskprompt.tasks.depth import Depth

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

    def load(self, row, clip, moment):
        sample = super().load(row, clip, moment)
        grey = int(moment.rng.integers(1, 200)) if isinstance(moment, Random) else 0
        return replace(sample, clip=replace(sample.clip, video=np.full_like(sample.clip.video, grey)))


@pytest.mark.parametrize("permute_labels", [None, 3])
@pytest.mark.parametrize("jitter", [True, False])
def test_without_jitter_a_clip_shows_the_same_moments_every_time(squares, jitter, permute_labels):
    squares["augment"] = STILL | {"jitter": jitter}
    recipe = Recipe.model_validate(squares)
    source = Moments(clips=10, only=("depth",), permute_labels=permute_labels)
    read = make_reader(recipe, "rendered", source, training=True).read
    moments = [int(read(i)["video"].max()) for i in range(20)]  # two epochs
    assert (len(set(moments)) > 15) == jitter
    assert (set(moments) == {0}) != jitter


class Vandal(Depth):
    """A task that changes what it is given."""

    changes: str = "frames"

    def target(self, label, sample):
        changed = {"frames": sample.clip.video, "label": label, "own": sample.labels["plain"]}[self.changes]
        changed[...] = 0
        return super().target(label, sample)


@pytest.mark.parametrize("changes", ["frames", "label", "own"])
def test_a_target_cannot_change_what_other_tasks_see(changes):
    video, plain = np.full((2, 8, 8, 3), 7, np.uint8), np.ones(3)
    sample = Sample("k", Clip(video, np.arange(2.0)), {"depth": Map(np.ones((2, 8, 8), np.float32)), "plain": plain})
    tasks = {"first": Vandal(label="depth", changes=changes), "depth": Depth(height=2, width=2)}
    with pytest.raises(TaskError, match=r"task 'first', clip 'k'.*read-only"):
        prepare(sample, tasks, Dims(2, 8, 8, (1, 2, 2), 8))
    assert (video == 7).all()
    assert video.flags.writeable  # the source's own array is as it was
    assert prepare(sample, {"depth": tasks["depth"]}, Dims(2, 8, 8, (1, 2, 2), 8))["depth/depth"].min() == 1


class Misshapen(Squares):
    """Squares of which one has boxes of another shape, and one has them of another order."""

    def load(self, row, clip, moment):
        sample = super().load(row, clip, moment)
        boxes = {0: np.zeros((3, 4)), 1: np.tile([20.0, 9, 3, 14], (clip.frames, 1, 1))}
        found = boxes.get(row["index"], np.zeros((clip.frames, 0, 4)))
        return replace(sample, labels={**sample.labels, "boxes": Boxes(found)})

    def own_labels(self):
        return (*super().own_labels(), "boxes")


@pytest.mark.parametrize("permute_labels", [None, 1])
def test_labels_of_any_source_are_checked_before_they_are_moved(squares, permute_labels):
    recipe = Recipe.model_validate(squares)
    source = Misshapen(clips=8, only=("depth", "boxes"), permute_labels=permute_labels)
    read = make_reader(recipe, "rendered", source, training=True).read
    errors = [str(read(i)["error"]) for i in range(8)]
    assert sum("label 'boxes' is 3 x 4" in e for e in errors) == 1
    assert sum("box: xywh" in e for e in errors) == 1
    assert sum(not e for e in errors) == 6


def test_classes_that_a_task_does_not_list_stop_the_run(squares, tmp_path):
    for name in ("left", "up"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").touch()
    squares["sources"] = {"films": {"kind": "folder", "path": str(tmp_path)}} | squares["sources"]
    squares["max_skipped"] = 1.0
    recipe = Recipe.model_validate(squares)
    with pytest.raises(
        SourceError, match=r"source 'films': task 'action': action 'up' is not in the list of 2\..* 1 clip"
    ):
        make_reader(recipe, "films", recipe.sources["films"], training=True)
