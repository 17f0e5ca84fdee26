"""The speed task of docs/add_a_task.md: learned from videos without labels, from the source to the report."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from squares import Squares

import taskprompt as tp
from taskprompt.core.moment import Random
from taskprompt.data.batch import collate
from taskprompt.data.reader import make_reader, stack
from taskprompt.data.views import ends_early
from taskprompt.evaluation.evaluate import measure
from taskprompt.evaluation.predict import enlarged, write_picture
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting.strips import TILE, picture_rows, strips
from taskprompt.runs.saved_batch import save_batch
from taskprompt.testing import check_task

RATE = Fraction(32)  # frames a second of the films
STILL = {"scale": [1, 1], "flip": 0}


def film(path, frames: int, start: int) -> None:
    """A bright bar on the dark, half a pixel a frame to the right, round and round: 4 frames of 8 a second show 2
    pixels a frame; at twice the speed, 4."""
    video = np.full((frames, 32, 32, 3), 30, np.uint8)
    for t in range(frames):
        video[t, :, (start + t // 2 + np.arange(6)) % 32] = 220
    write_picture(path, video, RATE)


@pytest.fixture
def data(squares, tmp_path, write_task):
    """A recipe's dictionary: speed, as the page writes it, on 12 films of 3 seconds without labels."""
    write_task("my_tasks/speed.py")
    (tmp_path / "films").mkdir()
    for i in range(12):
        film(tmp_path / "films" / f"{i:02}", 96, 5 * i)
    films = {"kind": "folder", "path": str(tmp_path / "films"), "only": []}
    return squares | {
        "clip": {"frames": 4, "height": 32, "width": 32, "fps": 8},
        "augment": STILL,
        "sources": {"films": films | {"quota": 8}},
        "held_out": {"test": films},
        "tasks": {"speed": {"kind": "my_tasks.speed:Speed", "rates": [1, 2, 4]}},
        "stages": [{"steps": 40, "lr": 4e-3}],
    }


def recipe_of(data) -> Recipe:
    return validate(data, "r", Recipe)


def trained(data, out) -> tp.Run:
    return tp.fit(recipe_of(data), out, cluster=None, watch=lambda record: None)


def reader_of(recipe: Recipe, name: str, training: bool = True):
    return make_reader(recipe, name, (recipe.sources if training else recipe.held_out)[name], training)


def bar(frame) -> float:
    """Where the middle of the bar is, in pixels, 0 to 32 round."""
    angles = np.flatnonzero(np.asarray(frame)[16, :, 0] > 125) * 2 * np.pi / 32
    return float(np.angle(np.exp(1j * angles).mean()) % (2 * np.pi) * 32 / (2 * np.pi))


def test_a_view_shows_the_speed_that_its_label_says(data):
    recipe = recipe_of(data)
    reader = reader_of(recipe, "films")
    batch = collate([reader(np.arange(24))], reader.tasks)
    assert batch.video.shape == (24, 4, 32, 32, 3)
    assert batch.rows["speed"].tolist() == list(range(24))  # no clip itself is read: no task would learn from it
    index = batch.targets["speed"]["index"].tolist()
    assert set(index) == {0, 1, 2}
    for video, i in zip(batch.video, index, strict=True):
        steps = [(bar(b) - bar(a)) % 32 for a, b in itertools.pairwise(video)]
        assert steps == pytest.approx([2 * 2**i] * 3, abs=0.6)  # h264 blurs the edges
    assert len({round(bar(v[0])) for v in batch.video}) > 8  # each at a moment of its own


def test_it_is_learned_evaluated_and_predicted(data, tmp_path):
    run = trained(data, tmp_path / "run")
    found = tp.evaluate(run, watch=lambda record: None).sources["test"].tasks["speed"]
    assert found.clips == 12
    assert found.metrics["top1"] > 0.8
    assert found.trivial["top1"] <= 0.6
    film(tmp_path / "clip", 96, 3)
    assert tp.predict(run, tmp_path / "clip.mp4").answers == {"speed": 1.0}
    page = tp.report(run)
    assert "speed" in page.read_text()


def test_resumed_and_fresh_runs_see_the_same_views(data):
    """Views are drawn from the clip, the task and the epoch alone."""
    recipe = recipe_of(data)
    one, other = reader_of(recipe, "films"), reader_of(recipe, "films")
    places = np.arange(30)
    whole = one(places)
    parts = [other(np.asarray([i])) for i in places[::-1]][::-1]
    for name, column in whole.items():
        assert np.array_equal(column, np.concatenate([p[name] for p in parts])), name
    first, second = whole["speed/index"][:12], whole["speed/index"][12:24]
    assert first.tolist() != second.tolist()  # another epoch, others
    still = reader_of(recipe, "test", training=False)
    assert np.array_equal(still(places[:12])["views speed"], still(places[:12])["views speed"])


def test_it_mixes_with_labelled_tasks(data, tmp_path):
    """The clip of a labelled source is a row, and so is its view; the model is called once for all of them."""
    data["sources"]["labelled"] = {"kind": "squares:Squares", "quota": 4, "only": ["action"]}
    data["held_out"]["squares"] = {"kind": "squares:Squares", "clips": 6, "only": ["action"]}
    data["tasks"]["action"] = {"kind": "action", "classes": ["left", "right"]}
    data["tasks"]["speed"]["sources"] = ["films", "test"]
    recipe = recipe_of(data)
    readers = [reader_of(recipe, n) for n in recipe.sources]
    assert [list(r.tasks) for r in readers] == [["speed"], ["action"]]
    batch = collate([r(np.arange(4)) for r in readers], recipe.tasks)
    assert (batch.rows["action"].tolist(), batch.rows["speed"].tolist()) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert {k.split("/")[0] for k in batch.keys_of("action")} == {"squares"}
    assert {k.split("/")[0] for k in batch.keys_of("speed")} != {"squares"}
    save_batch(batch, tmp_path / "b.safetensors")
    assert tp.load_batch(tmp_path / "b.safetensors").rows["speed"].tolist() == [4, 5, 6, 7]
    assert collate([r(np.arange(4)) for r in readers], {"action": recipe.tasks["action"]}).video.shape[0] == 4
    assert collate([r(np.arange(4)) for r in readers], {"speed": recipe.tasks["speed"]}).video.shape[0] == 8
    run = trained(data | {"stages": [{"steps": 2}]}, tmp_path / "run")
    (line, _) = run.lines("metrics.jsonl")
    assert {"loss/action", "loss/speed"} <= line.keys()
    found = tp.evaluate(run, watch=lambda record: None).sources
    assert {n: list(s.tasks) for n, s in found.items()} == {"test": ["speed"], "squares": ["action"]}


def test_without_sources_it_reads_every_clip(data):
    data["sources"]["labelled"] = {"kind": "squares:Squares", "quota": 4}
    data["tasks"] |= {"action": {"kind": "action", "classes": ["left", "right"]}}
    data["clip"]["fps"] = 8
    recipe = recipe_of(data)
    reader = reader_of(recipe, "labelled")
    assert list(reader.tasks) == ["speed", "action"]
    batch = collate([reader(np.arange(4))], reader.tasks)
    assert batch.video.shape[0] == 8
    assert batch.keys == [*batch.keys[:4]] * 2
    assert recipe.stage_tasks(recipe.stages[0]) == ("speed", "action")


class Short(Squares):
    """Videos of one second: twice the speed does not fit."""

    def load(self, row, clip, moment):
        sample = super().load(row, clip, moment)
        times = np.minimum(np.arange(clip.frames) / clip.fps, 0.5)
        return replace(sample, clip=replace(sample.clip, times=times))


def test_views_that_do_not_fit_are_left_out(data, tmp_path):
    data["sources"] = {"short": {"kind": "test_speed:Short", "quota": 4, "only": []}}
    recipe = recipe_of(data)
    reader = reader_of(recipe, "short")
    columns = reader(np.arange(12))
    assert set(columns["error"]) == {""}  # no clip is skipped for it
    batch = collate([columns], reader.tasks)
    assert set(batch.targets["speed"]["index"].tolist()) == {0}  # all that is left is the recipe's own speed
    row = reader.blank()
    assert {k: (v.shape, v.dtype.kind) for k, v in row.items()} == {
        k: (v.shape, v.dtype.kind) for k, v in reader.read(0).items() if k not in ("index", "error")
    }
    data["tasks"]["speed"]["rates"] = [2, 4]
    run = trained(data | {"held_out": {}, "stages": [{"steps": 3}]}, tmp_path / "run")
    (line,) = run.lines("warnings.jsonl")
    assert "task 'speed' learned nothing: no clip was long enough for its views" in line["text"]
    recipe = recipe_of(data | {"held_out": {"test": data["sources"]["short"] | {"quota": 1}}})
    reader = reader_of(recipe, "test", training=False)
    batch = collate([reader(np.arange(3))], reader.tasks)
    assert (batch.video.shape[0], batch.keys, len(batch.rows["speed"])) == (1, [""], 0)


class Stubborn(Squares):
    """Shows its clips at one speed, whatever is asked."""

    def load(self, row, clip, moment):
        sample = super().load(row, clip, moment)
        return replace(sample, clip=replace(sample.clip, times=np.arange(clip.frames) / 8.0))


@pytest.mark.parametrize("kind", ["test_speed:Stubborn", "scenes"])
def test_a_source_that_shows_one_speed_is_refused(data, kind):
    data["sources"] = {"one": {"kind": kind, "clips": 12, "only": []}}
    reader = reader_of(recipe_of(data), "one")
    with pytest.raises(tp.SourceError, match=r"source 'one'.*does not show its clips at another speed. Leave it out"):
        reader(np.arange(12))


@pytest.mark.parametrize(
    ("times", "early"),
    [
        ([0, 1, 2, 3], False),
        ([0, 1, 2, 2], True),
        ([0, 0, 1, 1], False),  # a video of half the clip's rate
        ([0, 0, 1, 1, 1], True),
        ([3, 3, 3, 3], True),
        ([5], False),
    ],
)
def test_a_video_that_ends_early_is_known_by_its_times(times, early):
    clip = tp.Clip(np.zeros((len(times), 8, 8, 3), np.uint8), np.asarray(times, float))
    assert ends_early(clip) == early


class Backwards(tp.Task):
    """Are the frames of the first or of the second view in their order? Two views a clip, from one window of time."""

    labelled = False
    layout = {"turned": tp.Array("", "int64")}

    def views(self, clip, rng):
        order = tuple(range(clip.frames))
        return (tp.ClipView(label=0), tp.ClipView(label=1, frames=order[::-1]))

    def target(self, label, sample):
        return {"turned": label}

    def head(self, dims):
        return tp.PromptHead(dims.dim, 2)

    def loss(self, output, target):
        return torch.nn.functional.cross_entropy(output, target["turned"], reduction="none")

    def perfect(self, target):
        return 20.0 * torch.nn.functional.one_hot(target["turned"], 2)

    def picture(self, output, video):
        return video


def test_views_of_one_clip_lie_side_by_side_and_have_one_crop(data):
    data["tasks"] = {"turned": {"kind": "test_speed:Backwards"}}
    data["augment"] = {"scale": [0.4, 0.6], "flip": 0, "brightness": 0.5}
    data["sources"]["films"]["path"] = data["sources"]["films"]["path"]
    data["augment"]["jitter"] = False  # both show the middle
    recipe = recipe_of(data)
    reader = reader_of(recipe, "films")
    batch = collate([stack([reader.read(i) for i in range(4)])], reader.tasks)
    assert batch.targets["turned"]["turned"].tolist() == [0, 1] * 4
    assert batch.keys[::2] == batch.keys[1::2]
    assert batch.video[::2].equal(batch.video[1::2].flip(1))  # pixel by pixel, but backwards
    assert not batch.video[0].equal(batch.video[2])


def test_a_task_without_views_has_the_clip_itself(data, tmp_path):
    """As a user would write it: how bright is the clip?"""
    data["tasks"] = {"light": {"kind": "test_speed:Light"}}
    recipe = recipe_of(data)
    reader = reader_of(recipe, "films")
    batch = collate([reader(np.arange(4))], reader.tasks)
    mean = batch.video.float().mean((1, 2, 3, 4)) / 255
    assert batch.targets["light"]["mean"].allclose(mean, atol=1e-5)
    run = trained(data | {"stages": [{"steps": 1}]}, tmp_path / "run")
    assert run.lines("metrics.jsonl")[0]["loss/light"] > 0
    check_task(Light(), recipe.dims())


class Light(tp.Task):
    """The mean of a clip."""

    labelled = False
    layout = {"mean": tp.Array("")}

    def target(self, label, sample):
        assert label is None
        return {"mean": np.float32(sample.clip.video.mean() / 255)}

    def head(self, dims):
        return tp.PromptHead(dims.dim, 1)

    def loss(self, output, target):
        return (output[:, 0] - target["mean"]).abs()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": "rate"}, "tasks.speed.label: found 'rate', but this task reads no label. Remove it."),
        ({"sources": ["filmz"]}, "tasks.speed.sources: 'filmz' is not a source. Did you mean 'films'"),
        ({"sources": ["test"]}, "tasks.speed.sources: none of them is one to train on. Known: films."),
        ({"rates": [-2]}, "tasks.speed: ClipView.span: found -2.0, expected a number above 0"),
    ],
)
def test_a_mistake_in_the_recipe_is_one_line(data, change, says):
    data["tasks"]["speed"] |= change
    with pytest.raises(tp.RecipeError) as error:
        recipe_of(data)
    assert says in str(error.value)


def test_what_does_not_go_with_views_is_told(data):
    with pytest.raises(tp.RecipeError, match=r"tasks.speed: .*needs `clip.fps`"):
        recipe_of(
            data | {"clip": data["clip"] | {"fps": None}, "tasks": {"speed": data["tasks"]["speed"] | {"rates": [2]}}}
        )
    data["prompter"], data["tasks"]["speed"]["prompts"] = {"kind": "none"}, 0
    data["augment"] = STILL | {"jitter": False}
    stage = {"steps": 3, "freeze": ["encoder"], "feature_cache": "cache"}
    with pytest.raises(tp.RecipeError, match=r"stages.0.feature_cache: the views of 'speed' are random in every epoch"):
        recipe_of(data | {"stages": [stage]})


def test_pictures_show_the_view(data):
    """What is drawn is drawn on the view, beside its label; a task that draws nothing has no strip."""
    recipe = recipe_of(data)
    assert strips(build_model(recipe), recipe, torch.device("cpu"), count=1) == []
    data["tasks"] = {"turned": {"kind": "test_speed:Backwards"}}
    data["held_out"]["test"] |= {"share": [0, 0.5]}
    recipe = recipe_of(data)
    reader = reader_of(recipe, "test", training=False)
    columns = reader.read(0)
    rows = picture_rows(build_model(recipe), recipe, reader, columns, torch.device("cpu"))
    assert [title for title, _ in rows] == ["turned: predicted", "turned: label"]
    assert np.array_equal(rows[1][1], enlarged(columns["views turned"][0], TILE))
    assert [s.tasks for s in strips(build_model(recipe), recipe, torch.device("cpu"), count=1)] == [("turned",)]


def test_moments_of_views_are_drawn_from_their_own_generator(data):
    """The clip that other tasks read is the same with and without a task that cuts views."""
    data["sources"] = {"one": {"kind": "test_speed:Noted", "only": ["action"]}}
    data["tasks"] = {"action": {"kind": "action", "classes": ["left", "right"]}} | data["tasks"]
    both = recipe_of(data)
    alone = recipe_of(data | {"tasks": {"action": data["tasks"]["action"]}})
    for i in range(6):
        with_views, without = (reader_of(r, "one").read(i) for r in (both, alone))
        assert np.array_equal(with_views["video"], without["video"])
        assert "views speed" in with_views


class Noted(Squares):
    """Its grey tells the moment."""

    def load(self, row, clip, moment):
        sample = super().load(row, clip, moment)
        grey = int(moment.rng.integers(1, 200)) if isinstance(moment, Random) else 0
        return replace(sample, clip=replace(sample.clip, video=np.full_like(sample.clip.video, grey)))


def test_it_is_measured_while_it_trains(data, tmp_path):
    from taskprompt.data.local import this_process

    recipe = recipe_of(data)
    readers = {"test": reader_of(recipe, "test", training=False)}
    table = measure(build_model(recipe), recipe, readers, this_process(recipe.runtime))
    assert 0 <= table["test"]["speed"]["top1"] <= 1
