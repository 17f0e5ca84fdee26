"""Samples on disk come back as they went."""

import json
import resource

import numpy as np
import pytest

from taskprompt.core.errors import SampleError, WriteError
from taskprompt.core.types import Boxes, Camera, Clip, Joints, Map, Points, Sample, Vectors, plain
from taskprompt.video.store import read_frames, read_labels, read_meta, read_sample, write_sample


def _sample(t=6, h=17, w=31):
    rng = np.random.default_rng(0)
    depth = rng.random((t, h, w), np.float32) * 9
    depth[0, :3] = np.nan
    labels = {
        "depth": Map(depth),
        "segmentation": Map(rng.integers(0, 255, (t, h, w), np.uint8)),
        "normal": Vectors(rng.standard_normal((t, h, w, 3)).astype(np.float32)),
        "boxes": Boxes(rng.random((t, 3, 4)) * 20),
        "hands": Points(rng.random((t, 4, 2), np.float32), ((0, 1), (2, 3))),
        "pose3d": Joints(rng.random((t, 5, 3), np.float32), ((1, 2),)),
        "camera": Camera(rng.random((t, 3, 3))),
        "touch": rng.random(t) > 0.5,
        "embedding": rng.random((2, 7), np.float32),
        "action": "pick up",
        "score": np.float32(0.25),
        "texts": ["Ein Mädchen läuft.", "走"],
    }
    return Sample("a/b", Clip(rng.integers(0, 256, (t, h, w, 3), np.uint8), np.arange(t) / 7.5 + 0.1), labels, True)


def _equal(a, b):
    assert type(a) is type(b)
    assert getattr(a, "swap", ()) == getattr(b, "swap", ())
    np.testing.assert_array_equal(plain(a), plain(b))
    assert np.asarray(plain(a)).dtype == np.asarray(plain(b)).dtype


def test_round_trip_is_exact(tmp_path):
    sample = _sample()
    write_sample(tmp_path, "train/clip.0", sample)
    back = read_sample(tmp_path, "train/clip.0")
    np.testing.assert_array_equal(back.clip.video, sample.clip.video)
    np.testing.assert_array_equal(back.clip.times, sample.clip.times)
    assert (back.key, back.flip_sensitive) == ("a/b", True)
    assert set(back.labels) == set(sample.labels)
    for name in sample.labels.keys() - {"score"}:
        _equal(back.labels[name], sample.labels[name])
    assert back.labels["score"] == 0.25
    assert sorted(p.name for p in (tmp_path / "train").iterdir()) == [
        "clip.0.labels.json",
        "clip.0.labels.npz",
        "clip.0.mov",
    ]


def test_only_the_labels_asked_for(tmp_path):
    write_sample(tmp_path, "x", _sample())
    (tmp_path / "x.labels.npz").rename(tmp_path / "away")
    assert read_sample(tmp_path, "x", ("action",)).labels == {"action": "pick up"}
    (tmp_path / "away").rename(tmp_path / "x.labels.npz")
    assert list(read_sample(tmp_path, "x", ("depth", "none such")).labels) == ["depth"]


def test_some_frames_and_their_labels(tmp_path):
    sample = _sample()
    write_sample(tmp_path, "x", sample)
    meta, at = read_meta(tmp_path / "x"), np.array([1, 3, 3, 5, 5, 5])
    np.testing.assert_array_equal(read_frames(tmp_path / "x", meta, at), sample.clip.video[at])
    labels = read_labels(tmp_path / "x", meta, at)
    for name in ("depth", "boxes", "camera", "touch"):
        np.testing.assert_array_equal(plain(labels[name]), plain(sample.labels[name])[at])
    np.testing.assert_array_equal(labels["embedding"], sample.labels["embedding"])


@pytest.mark.parametrize("times", [[0.0], [2.0, 2.0, 2.0], [0.0, 0.1, 0.1, 0.4], [0.0, 5000.0]])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (65, 3)])
def test_any_times_and_sizes(tmp_path, times, size):
    video = np.random.default_rng(1).integers(0, 256, (len(times), *size, 3), np.uint8)
    write_sample(tmp_path, "x", Sample("k", Clip(video, np.array(times))))
    back = read_sample(tmp_path, "x")
    np.testing.assert_array_equal(back.clip.video, video)
    assert back.clip.times.tolist() == times
    assert back.labels == {}
    assert not (tmp_path / "x.labels.npz").exists()


@pytest.mark.parametrize("limit", [100, 3000, 50_000])
def test_a_failed_write_leaves_no_half_sample(tmp_path, limit):
    write_sample(tmp_path, "x", _sample())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # bytes a file, as a disk that is full
    try:
        with pytest.raises(WriteError, match="cannot be written: File too large"):
            write_sample(tmp_path, "x", _sample(h=200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "x.mov").exists()  # so no listing finds it
    assert not list(tmp_path.glob(".*"))


def test_damage_is_named(tmp_path):
    write_sample(tmp_path, "x", _sample())
    with pytest.raises(SampleError, match=r"no such stored sample"):
        read_sample(tmp_path, "y")
    archive = tmp_path / "x.labels.npz"
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(SampleError, match=r"x\.labels\.npz: cannot be read"):
        read_sample(tmp_path, "x")
    file = tmp_path / "x.labels.json"
    file.write_text(json.dumps({"format": "other"}))
    with pytest.raises(SampleError, match="is not a stored sample"):
        read_sample(tmp_path, "x")


def test_labels_that_no_file_holds(tmp_path):
    sample = _sample()
    for bad in ({1, 2}, np.array([None, 1])):
        with pytest.raises(SampleError):
            write_sample(tmp_path, "x", Sample("k", sample.clip, {"bad": bad}))
    assert not list(tmp_path.iterdir())
