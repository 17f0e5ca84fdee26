"""Labels beside films whose pixels are not square, or whose packets tell of other frames than are shown."""

import json

import numpy as np
import pytest
from numbered import numbers, remux, write
from PIL import Image

from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Middle
from taskprompt.sources.folder import Folder
from taskprompt.video.container import frame_times
from taskprompt.video.decode import read_times

CLIP = ClipSpec(frames=4, height=32, width=48, fps=None)


def read(folder, clip=CLIP, **labels):
    source = Folder.model_validate({"path": str(folder), "labels": labels})
    return source.load(next(source.rows()), clip, Middle())


def test_labels_are_stretched_with_pixels_that_are_not_square(tmp_path):
    write(tmp_path / "a.mp4", frames=8, size=(64, 96), aspect=(2, 1))
    (tmp_path / "a.boxes.json").write_text(json.dumps([[[10, 8, 30, 40]]] * 8))
    classes = np.zeros((8, 64, 96), np.uint8)
    classes[:, 8:40, 10:30] = 3
    np.save(tmp_path / "a.map.npy", classes)
    boxes, seen = {"form": "boxes", "file": "{stem}.boxes.json"}, {"form": "map", "file": "{stem}.map.npy"}
    sample = read(tmp_path, boxes=boxes, map=seen)
    assert sample.clip.aspect == 1
    assert sample.clip.video.shape == (4, 64, 192, 3)
    assert sample.labels["boxes"].values[0, 0].tolist() == [20, 8, 60, 40]
    at = np.argwhere(sample.labels["map"].values[0] == 3)
    assert (at.min(0).tolist(), at.max(0).tolist()) == ([8, 20], [39, 59])
    plain = read(tmp_path)  # square as it is read
    assert plain.clip.video.shape == sample.clip.video.shape
    assert numbers(plain.clip.video) == numbers(sample.clip.video)


@pytest.mark.parametrize("by_frame", [False, True])
def test_rows_are_those_of_the_frames_that_are_shown(tmp_path, by_frame):
    whole = write(
        tmp_path / "whole.mp4", "libx265", frames=60, options={"x265-params": "log-level=none:bframes=4:keyint=12"}
    )
    film = remux(whole, tmp_path / "a.mp4", lost=(24, 25, 26))
    whole.unlink()
    packets, shown = len(frame_times(film)), len(frame_times(film, exact=True))
    assert packets > shown
    spec = {"form": "map", "file": "{stem}.{frame:03d}.png" if by_frame else "{stem}.npy"}
    pictures = numbers(read_times(film, frame_times(film, exact=True)).video)
    rows = np.broadcast_to(np.array(pictures, np.uint8)[:, None, None], (shown, 64, 96))
    np.save(tmp_path / "a.npy", rows)
    for i in range(shown * by_frame):
        Image.fromarray(rows[i]).save(tmp_path / f"a.{i:03d}.png")
    sample = read(tmp_path, row=spec)
    assert sample.labels["row"].values[:, 0, 0].tolist() == numbers(sample.clip.video)
