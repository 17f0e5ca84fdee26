"""The region task of docs/add_a_task.md: a head that reads boxes, from the source to `predict`."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import taskprompt as tp
from taskprompt.cli.main import main
from taskprompt.core.moment import Middle
from taskprompt.data.batch import blank, collate, prepare
from taskprompt.data.reader import make_reader, stack
from taskprompt.evaluation.predict import write_picture
from taskprompt.evaluation.profile import profile
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting.strips import strips
from taskprompt.runs.saved_batch import save_batch
from taskprompt.train.mixup import mixup

NAMES = ("square", "wall")
SQUARE, WALL = [4, 4, 20, 20], [12, 20, 32, 32]  # x0 y0 x1 y1 in pixels of 32 x 32


def frames(count: int) -> np.ndarray:
    """A bright square on a dark wall."""
    video = np.full((count, 32, 32, 3), 20, np.uint8)
    video[:, 4:20, 4:20] = 230
    return video


class Pairs(tp.Source):
    """The same picture again and again: only the order of the two boxes, which changes, tells the classes."""

    clips: int = 8
    bare: tuple[int, ...] = ()  # clips without boxes

    def own_labels(self):
        return ("boxes", "objects")

    def rows(self):
        return ({"key": f"pairs/{i}", "index": i} for i in range(self.clips))

    def load(self, row, clip, moment):
        i = row["index"]
        order = [0, 1] if i % 2 else [1, 0]
        boxes = np.tile(np.array([SQUARE, WALL], np.float32)[order], (clip.frames, 1, 1))
        labels = {"objects": [NAMES[k] for k in order]} | ({} if i in self.bare else {"boxes": tp.Boxes(boxes)})
        return tp.Sample(row["key"], tp.Clip(frames(clip.frames), np.arange(clip.frames) / 8), labels)


@pytest.fixture
def data(squares, write_task):
    """A recipe's dictionary: regions, as the page writes them, on Pairs."""
    write_task("my_tasks/regions.py")
    still = {"jitter": False, "scale": [1, 1], "flip": 0}
    return squares | {
        "augment": still,
        "sources": {"pairs": {"kind": "test_regions:Pairs", "quota": 4}},
        "held_out": {"test": {"kind": "test_regions:Pairs", "clips": 3, "bare": [2]}},
        "tasks": {"regions": {"kind": "my_tasks.regions:Regions", "classes": list(NAMES)}},
        "stages": [{"steps": 40, "lr": 1e-2}],
    }


def recipe_of(data) -> Recipe:
    return validate(data, "r", Recipe)


def trained(data, out) -> tp.Run:
    return tp.fit(recipe_of(data), out, cluster=None, watch=lambda record: None)


def film(tmp_path) -> Path:
    return write_picture(tmp_path / "clip", frames(8), Fraction(8))


def entry(*boxes, **more):
    return {"boxes": {"form": "boxes", "values": list(boxes), **more}}


def test_inputs_reach_training_evaluation_and_predict(data, tmp_path):
    run = trained(data, tmp_path / "run")
    assert run.lines("metrics.jsonl")[-1]["loss/regions"] < 0.1  # without boxes no head can be below log 2
    found = tp.evaluate(run, watch=lambda record: None).sources["test"].tasks["regions"]
    assert (found.clips, found.metrics) == (2, {"top1": 1.0})  # the third clip has no boxes
    clip = film(tmp_path)
    for boxes, names in (((SQUARE, WALL), ["square", "wall"]), ((WALL, SQUARE), ["wall", "square"])):
        given = entry(*boxes)
        assert tp.predict(run, clip, inputs=given).answers == {"regions": names}
        (tmp_path / "given.json").write_text(json.dumps(given))
        assert tp.predict(run, clip, inputs=tmp_path / "given.json").answers == {"regions": names}
    moving = entry([WALL, WALL], [SQUARE, WALL], times=[0.0, 0.5])  # the clip shows 0.25 to 0.625 s
    assert tp.predict(run, clip, inputs=moving).answers == {"regions": ["square", "wall"]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "task 'regions': labels that its head reads are missing: boxes. Give"),
        (
            {"boxs": {"form": "boxes", "values": [SQUARE, WALL]}},
            "no head reads the label 'boxs'. Did you mean 'boxes'",
        ),
        (Path("nowhere.json"), "nowhere.json"),
        ({"boxes": [SQUARE, WALL]}, r"label 'boxes': found \[\[.*expected `form` and `values`"),
        (entry(SQUARE, WALL) | {"objects": {"form": "value", "values": 1}}, "no head reads the label 'objects'"),
        ({"boxes": {"form": "box", "values": [SQUARE]}}, r"found the form 'box'. Did you mean 'boxes'"),
        (entry([SQUARE, WALL]), r"found values of 3 axes, expected 2: o 4"),
        (entry(SQUARE, WALL, times=[0, 1]), r"found values of 2 axes, expected 3: times o 4"),
        (entry([SQUARE, WALL], times=[0, 1]), r"found times \[0, 1\], expected 1 numbers, in seconds"),
        (entry(SQUARE, [1, 2]), r"expected numbers in a regular array"),
        (entry(SQUARE), r"task 'regions': found 1 boxes, expected 2"),
        (entry(SQUARE, [20, 9, 3, 14]), r"clip.mp4: label 'boxes'"),
    ],
)
def test_inputs_that_cannot_be_used_are_one_line(data, tmp_path, given, says):
    run = trained(data | {"stages": [{"steps": 1}]}, tmp_path / "run")
    with pytest.raises(tp.TaskPromptError, match=says) as error:
        tp.predict(run, film(tmp_path), inputs=given)
    assert "\n" not in str(error.value)
    assert "--" not in str(error.value)  # said as Python says it


def test_boxes_move_with_the_pixels_and_clips_without_them_have_no_row(data):
    data["clip"]["width"] = 16  # the middle half of the picture: 8 pixels are cut at each side
    recipe = recipe_of(data)
    reader = make_reader(recipe, "test", recipe.held_out["test"], training=False)
    batch = collate([reader(np.arange(3))], reader.tasks)
    assert batch.rows["regions"].tolist() == [0, 1]
    assert batch.targets["regions"]["index"].tolist() == [[1, 0], [0, 1]]
    boxes = batch.inputs["regions"]["boxes"]
    assert boxes.shape == (2, 4, 2, 4)
    assert boxes[1, 0].tolist() == [[0, 0.125, 0.75, 0.625], [0.25, 0.625, 1, 1]]
    row = blank(reader.tasks, recipe.dims())
    assert {k: (v.shape, v.dtype.kind) for k, v in row.items()} == {
        k: (v.shape, v.dtype.kind) for k, v in reader.read(0).items() if k not in ("index", "error")
    }
    assert batch.to("cpu").inputs["regions"]["boxes"].equal(boxes)


def test_a_batch_without_the_task_runs_its_head_on_zeros(data):
    recipe = recipe_of(data | {"held_out": {"test": {"kind": "test_regions:Pairs", "clips": 1, "bare": [0]}}})
    reader = make_reader(recipe, "test", recipe.held_out["test"], training=False)
    batch = collate([reader(np.arange(1))], reader.tasks)
    model = tp.MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)
    assert batch.inputs["regions"]["boxes"].shape == (0, 4, 2, 4)
    output = model(batch.video, batch.rows, batch.inputs)["regions"]
    assert output.shape == (1, 2, 2)
    assert output.isfinite().all()
    with pytest.raises(tp.TaskError, match="reads the inputs boxes, and the model was called with none"):
        model(batch.video)


def test_what_else_runs_heads_gives_them_their_inputs(data, tmp_path):
    recipe = recipe_of(data)
    model = tp.MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)
    (cost,) = profile({"r": recipe}, keep=["regions"], repeats=1)
    assert cost.flops > 0
    assert tp.check(recipe)
    assert [s.tasks for s in strips(model, recipe, torch.device("cpu"), count=1)] == [()]  # it draws no picture


def test_saved_batches_and_mixup_keep_inputs(data, tmp_path):
    recipe = recipe_of(data)
    reader = make_reader(recipe, "pairs", recipe.sources["pairs"], training=True)
    batch = collate([stack([reader.read(i) for i in range(4)])], reader.tasks)
    save_batch(batch, tmp_path / "b.safetensors")
    assert tp.load_batch(tmp_path / "b.safetensors").inputs["regions"]["boxes"].equal(batch.inputs["regions"]["boxes"])
    mixed = mixup(batch, reader.tasks, 0.4)[0]
    assert mixed.video.equal(batch.video)  # no clip with regions is blended
    assert mixed.inputs is batch.inputs


def test_a_task_whose_clips_all_lack_the_inputs_is_told(data, tmp_path):
    data["sources"]["pairs"]["bare"] = list(range(8))
    run = trained(data | {"held_out": {}, "stages": [{"steps": 2}]}, tmp_path / "run")
    (line,) = run.lines("warnings.jsonl")
    assert "no clip had all of its labels (objects, boxes) in 2 steps" in line["text"]
    assert [line["loss"] for line in run.lines("metrics.jsonl")] == [0, 0]


def test_kept_features_give_the_same_losses(data, tmp_path):
    data |= {"prompter": {"kind": "none"}, "held_out": {}}
    data["tasks"]["regions"]["prompts"] = 0
    losses = []
    for folder in (None, str(tmp_path / "cache"), str(tmp_path / "cache")):
        stage = {"steps": 3, "lr": 1e-2, "freeze": ["encoder"], "feature_cache": folder}
        run = trained(data | {"stages": [stage]}, tmp_path / f"run{len(losses)}")
        losses.append([line["loss/regions"] for line in run.lines("metrics.jsonl")])
    assert losses[1] == losses[2] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0][2] < losses[0][0]


def test_the_task_s_metrics_are_known_before_training(data):
    best = {"metric": "test/regions/top1"}
    assert tp.check(recipe_of(data | {"best": best, "evaluate_every": 1}))
    with pytest.raises(tp.RecipeError, match=r"measures no 'top2'. Did you mean 'test/regions/top1'"):
        tp.check(recipe_of(data | {"best": {"metric": "test/regions/top2", "mode": "max"}, "evaluate_every": 1}))


def test_a_task_without_its_inputs_is_left_out_beside_others(data, tmp_path, monkeypatch, capsys):
    data["sources"]["labelled"] = {"kind": "squares:Squares", "quota": 2, "only": ["action"]}
    data["tasks"]["action"] = {"kind": "action", "classes": ["left", "right"]}
    run = trained(data | {"stages": [{"steps": 1}]}, tmp_path / "run")
    why = "labels that its head reads are missing: boxes. Give them as inputs."
    found = tp.predict(run, film(tmp_path))
    assert (found.answers.keys(), found.left_out) == ({"action"}, {"regions": why})
    assert f"left out: {why}" in repr(found)
    given = tmp_path / "given.json"
    given.write_text(json.dumps(entry(SQUARE, WALL)))
    for options, answers, left_out in (
        ([], {"action"}, {"regions": why}),
        (["--inputs", str(given)], {"action", "regions"}, None),
    ):
        monkeypatch.setattr(sys, "argv", ["taskprompt", "predict", str(run.path), str(tmp_path / "clip.mp4"), *options])
        with pytest.raises(SystemExit):
            main()
        printed = json.loads(capsys.readouterr().out)
        assert (printed["answers"].keys(), printed.get("left_out")) == (answers, left_out)


def test_a_source_has_to_give_the_label_and_the_inputs(data):
    data["sources"]["pairs"]["only"] = ["objects"]
    with pytest.raises(tp.RecipeError, match=r"reads the label 'boxes', which no source gives.*Its head needs it"):
        recipe_of(data)
    data["sources"]["other"] = data["sources"]["pairs"] | {"only": ["boxes"]}
    with pytest.raises(tp.RecipeError, match=r"reads the labels 'objects', 'boxes', which no source gives together"):
        recipe_of(data)


def test_inputs_of_another_shape_are_a_mistake_in_the_code(data, monkeypatch):
    recipe = recipe_of(data)
    sample = Pairs().load({"key": "k", "index": 0}, recipe.clip, Middle())
    monkeypatch.setattr(type(recipe.tasks["regions"]), "read_inputs", lambda self, sample: {"boxes": np.zeros((2, 4))})
    with pytest.raises(tp.LayoutError, match=r"read_inputs 'boxes' has shape \(2, 4\), its inputs .* is \(4, 2, 4\)"):
        prepare(sample, recipe.tasks, recipe.dims())
