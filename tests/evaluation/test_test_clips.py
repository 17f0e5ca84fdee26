"""Several test clips of a video: the outputs of tasks whose label is that of the whole video are merged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from squares import Squares

import taskprompt as tp
from taskprompt.core.moment import Middle, Part
from taskprompt.data.local import this_process
from taskprompt.data.reader import load, make_reader
from taskprompt.evaluation.evaluate import BATCH, held_out_batches, held_out_readers, open_held_out
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.tasks.action import Action
from taskprompt.video.augment import augment


class Parts(Squares):
    """Another grey for every part of a video."""

    def load(self, row, clip, moment):
        sample = super().load(row, clip, moment)
        match moment:
            case Part(index, of):
                shade = 255 * (index + 0.5) / of
            case _:
                shade = 255 / 2
        video = np.clip(sample.clip.video * 0.5 + shade / 2, 0, 255).astype(np.uint8)
        return replace(sample, clip=replace(sample.clip, video=video))


@pytest.fixture
def data(squares):
    squares["held_out"] = {"test": {"kind": "test_test_clips:Parts", "clips": 6}}
    return squares | {"test": {"clips": 3}}


def trained(data, out) -> tp.Run:
    return tp.fit(validate(data, "r", Recipe), out, cluster=None, watch=lambda record: None)


def test_each_test_clip_shows_its_part_and_its_row_is_the_video_s(data):
    recipe = validate(data, "r", Recipe)
    source = recipe.held_out["test"]
    reader = make_reader(recipe, "test", source, training=False, test_clips=3)
    assert reader.views == {"action": 3}  # depth lies in the frames of one clip
    columns = reader.read(1)
    row = next(r for r in source.rows() if r["index"] == 1)
    for part in range(3):
        sample = augment(load(source, row, recipe.clip, Part(part, 3)), recipe.clip)
        assert np.array_equal(columns["views action"][part], sample.clip.video)
    assert np.array_equal(columns["video"], augment(load(source, row, recipe.clip, Middle()), recipe.clip).clip.video)
    assert columns["action/index"].tolist() == [1, 1, 1]
    blank = reader.blank()
    assert {k: v.shape for k, v in blank.items()} == {k: v.shape for k, v in columns.items() if k in blank}


def test_outputs_are_averaged_as_by_hand(data, tmp_path):
    data["stages"] = [{"steps": 3, "lr": 1e-2}]
    run = trained(data, tmp_path / "run")
    found = tp.evaluate(run, watch=lambda record: None)
    assert found.test_clips == 3
    assert "Evaluation of step-00000003, 3 test clips per video" in repr(found)
    recipe, model = run.recipe, run.model().eval()
    source, right = recipe.held_out["test"], []
    for row in source.rows():
        chances = []
        for part in range(3):
            sample = augment(load(source, row, recipe.clip, Part(part, 3)), recipe.clip)
            with torch.inference_mode():
                logits = model(torch.from_numpy(sample.clip.video.copy())[None])["action"]
            chances.append(logits[0].double().softmax(-1))
        right.append(int(torch.stack(chances).mean(0).argmax()) == row["index"] % 2)
    part = found.sources["test"]
    assert (part.rows, part.tasks["action"].clips) == (6, 6)  # videos, not test clips
    assert part.tasks["action"].metrics["top1"] == pytest.approx(sum(right) / 6)
    page = tp.report(run).read_text()
    assert "3 test clips per video" in page
    one = tp.fit(validate(data | {"test": {"clips": 1}}, "r", Recipe), run.path, cluster=None, resume=True)
    again = tp.evaluate(one, watch=lambda record: None)
    assert again.test_clips == 1
    depth = [found.sources["test"].tasks["depth"].metrics for found in (again, found)]
    assert depth[0] == pytest.approx(depth[1], rel=1e-5)  # on the middle clip, both times
    assert "test clips" not in repr(again)
    assert "test clips" not in tp.report(one).read_text()


def test_probabilities_are_averaged():
    task = Action(classes=("a", "b"))
    logits = torch.tensor([[[4.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]])  # v m classes
    merged = task.merge(logits)
    assert merged.softmax(-1).allclose(logits.softmax(-1).mean(0))
    assert merged.argmax() == 0
    assert task.merge(logits.softmax(-1).log()).allclose(merged)


def test_more_test_clips_take_no_more_memory(data):
    recipe = validate(data | {"test": {"clips": 7}}, "r", Recipe)
    (reader,) = held_out_readers(recipe, recipe.test.clips).values()
    context = this_process(recipe.runtime)
    sizes = [(clips, len(b.video)) for clips, b in held_out_batches(open_held_out(reader, context, 0.1), reader)]
    assert sizes == [(2, 16)] * 3
    assert max(rows for _, rows in sizes) <= BATCH


def test_a_clip_without_the_label_has_no_row(data):
    data["held_out"]["test"]["sparse"] = 2
    recipe = validate(data, "r", Recipe)
    reader = make_reader(recipe, "test", recipe.held_out["test"], training=False, test_clips=3)
    stream = open_held_out(reader, this_process(recipe.runtime), 0.1)
    keys = [key for _, batch in held_out_batches(stream, reader) for key in batch.keys_of("action")]
    assert keys == [f"squares/{i}" for i in (0, 0, 0, 2, 2, 2, 4, 4, 4)]


@pytest.mark.parametrize(
    "change", [{"held_out": {}}, {"held_out": {"test": {"kind": "squares:Squares", "only": ["depth"]}}}]
)
def test_test_clips_that_nothing_would_merge_are_refused(data, change):
    with pytest.raises(
        tp.RecipeError, match=r"test.clips: found 3, but no held-out source measures a task whose label"
    ):
        validate(data | change, "r", Recipe)
