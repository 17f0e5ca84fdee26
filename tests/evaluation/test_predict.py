"""Predict: the middle of a video, answers as json, pictures as files that play."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

import taskprompt as tp
from taskprompt.core.clip import ClipSpec
from taskprompt.evaluation.predict import PICTURE, enlarged, frame_rate, predict_clip
from taskprompt.recipe.files import validate
from taskprompt.sources.folder import Folder

FPS = 8


@pytest.fixture
def run(squares, tmp_path):
    return trained(squares, tmp_path / "run")


@pytest.fixture
def clip(tmp_path):
    """Three seconds of 48 x 64: black, then white in the middle second, then black."""
    return film(tmp_path / "clip.mp4", [255 if FPS <= i < 2 * FPS else 0 for i in range(3 * FPS)])


def trained(data, out) -> tp.Run:
    data["stages"] = [{"steps": 2}]
    return tp.fit(validate(data, "r", tp.Recipe), out, cluster=None, watch=lambda record: None)


def film(path, brightness):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for value in brightness:
            pixels = np.full((48, 64, 3), value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def played(path):
    """What a player is told of a video, and its frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        facts = (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate)
        return facts, np.stack([f.to_ndarray(format="rgb24") for f in container.decode(stream)])


def test_it_answers_and_draws_beside_the_video(run, clip, tmp_path):
    found = tp.predict(run, clip)
    assert json.loads((tmp_path / "clip.mp4.taskprompt.json").read_text()) == found
    assert found["checkpoint"] == "step-00000002"
    assert found["times"] == [1.25, 1.375, 1.5, 1.625]  # four frames at 8 a second, in the middle of three seconds
    labels = found["answers"]["action"]
    assert {a["label"] for a in labels} == {"left", "right"}
    assert labels[0]["confidence"] >= labels[1]["confidence"]
    assert sum(a["confidence"] for a in labels) == pytest.approx(1, abs=2e-4)
    assert set(found["answers"]) == {"action"}  # depth has no answer, only a picture
    assert found["files"] == {
        "json": str(tmp_path / "clip.mp4.taskprompt.json"),
        "action": str(tmp_path / "clip.mp4.action.taskprompt.mp4"),
        "depth": str(tmp_path / "clip.mp4.depth.taskprompt.mp4"),
    }
    facts, frames = played(found["files"]["action"])
    assert facts == ("h264", "yuv420p", FPS)
    assert frames.shape == (4, PICTURE, PICTURE, 3)
    assert frames[:, 50:150, 50:150].min() > 240  # the white second was what it saw


def test_results_are_no_clips_and_replace_nothing_else(run, clip, tmp_path):
    data = tmp_path / "data"
    for folder, name in (("walk", "a.mp4"), ("walk", "a.mov"), ("run", "a.mp4"), ("run", "caf\udce9.mp4")):
        (data / folder).mkdir(parents=True, exist_ok=True)
        (data / folder / name).write_bytes(clip.read_bytes())
    clips = [*Folder(path=str(data)).rows()]
    users = {data / "walk/a.action.mp4": b"mine", data / "walk/a.taskprompt.json": b"mine"}
    for file, content in users.items():
        file.write_bytes(content)
    written = [f for file in sorted(data.glob("*/*.m*")) for f in again(run, file) if file not in users]
    assert len(set(written)) == len(written) == 4 * 3
    assert all(file.read_bytes() == content for file, content in users.items())
    (data / "walk/a.action.mp4").unlink()
    assert [*Folder(path=str(data)).rows()] == clips
    tp.predict(run, data / "walk/a.mp4", tmp_path / "out")
    with pytest.raises(tp.TaskPromptError, match=r"is there already, and is not of .*run/a.mp4.*`out`"):
        tp.predict(run, data / "run/a.mp4", tmp_path / "out")
    theirs = tmp_path / "theirs/a.mp4.depth.taskprompt.mp4"
    theirs.parent.mkdir()
    theirs.symlink_to(clip)
    before = clip.read_bytes()
    with pytest.raises(tp.TaskPromptError, match="is there already"):
        tp.predict(run, data / "walk/a.mp4", theirs.parent)
    assert clip.read_bytes() == before
    assert len(list(theirs.parent.iterdir())) == 1


def again(run, file):
    """The files that predict writes for a clip, twice the same."""
    if file.name in ("a.action.mp4",):
        return []
    first, second = (tp.predict(run, file)["files"] for _ in "ab")
    assert first == second
    return list(first.values())


def test_it_sees_what_held_out_clips_are_made_into(run, clip):
    found = tp.predict(run, clip)["answers"]["action"]
    white = np.full((4, 32, 32, 3), 255, np.uint8)
    logits = predict_clip(run, run.recipe, white)["action"]
    assert found[0]["confidence"] == pytest.approx(float(logits.softmax(-1).max()), abs=0.01)
    assert found[0]["label"] == ["left", "right"][int(logits.argmax())]


def test_a_clip_of_one_frame_is_drawn_as_a_picture(squares, clip, tmp_path):
    squares["clip"]["frames"] = 1
    squares["backbone"]["patch"] = [1, 16, 16]
    found = tp.predict(trained(squares, tmp_path / "run"), clip, tmp_path / "new" / "folder")
    assert found["files"]["depth"] == str(tmp_path / "new" / "folder" / "clip.mp4.depth.taskprompt.png")
    with Image.open(found["files"]["depth"]) as picture:
        assert picture.size == (PICTURE, PICTURE)


def test_a_task_that_no_stage_trains_is_left_out(squares, clip, tmp_path):
    squares["sources"]["rendered"]["only"] = ["action", "depth"]
    recipe = validate(squares | {"stages": [{"steps": 2, "tasks": ["action"]}]}, "r", tp.Recipe)
    found = tp.predict(tp.fit(recipe, tmp_path / "run", cluster=None, watch=lambda r: None), clip)
    assert found["files"].keys() == {"json", "action"}


def test_a_task_without_pictures_gets_no_file(squares, clip, tmp_path):
    squares["tasks"]["bright"] = {"kind": "brightness:Brightness"}
    found = tp.predict(trained(squares, tmp_path / "run"), clip)
    assert set(found["files"]) == {"json", "action", "depth"}
    assert set(found["answers"]) == {"action"}


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"", "is empty"), (b"not a video at all" * 100, "video")],
)
def test_what_is_no_video_is_one_line(run, tmp_path, content, message):
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(tp.SampleError, match=message) as error:
        tp.predict(run, path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("broken.*json"))


def test_results_that_cannot_be_written_are_one_line(run, clip, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(tp.TaskPromptError, match=r"taken.*cannot be written: File exists.*`out`"):
        tp.predict(run, clip, tmp_path / "taken")


def test_a_run_without_weights_is_told(squares, clip, tmp_path):
    with tp.Run.start(tmp_path / "run", validate(squares, "r", tp.Recipe)) as run:
        pass
    with pytest.raises(tp.CheckpointError, match="no checkpoint yet"):
        tp.predict(run, clip)


def test_pictures_play_at_the_clip_s_own_speed():
    at = ClipSpec.model_validate({"frames": 3, "fps": 7.5})
    over = ClipSpec.model_validate({"frames": 3, "fps": None})
    assert frame_rate(at, np.array([0, 0.1, 0.1])) == Fraction(15, 2)  # the last frame was repeated
    assert frame_rate(over, np.array([0, 0.25, 0.5])) == 4
    assert frame_rate(over, np.array([0, 10.0, 20.0])) == 1  # slower ones do not play everywhere
    assert frame_rate(over, np.array([0.0])) == 1


def test_small_frames_are_enlarged_and_sides_are_even():
    assert enlarged(np.zeros((2, 32, 48, 3), np.uint8)).shape == (2, PICTURE, 384, 3)
    assert enlarged(np.zeros((1, 301, 401, 3), np.uint8)).shape == (1, 300, 400, 3)
    assert torch.from_numpy(enlarged(np.full((1, 16, 16, 3), 7, np.uint8))).eq(7).all()
