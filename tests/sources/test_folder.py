"""The folder source: listings, spans, label files, stored samples, genuine clips, and what it says of bad input."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from greys import CLIP, FRAMES, HEIGHT, MIDDLE, WIDTH, video
from PIL import Image
from pydantic import ValidationError

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SampleError, SourceError
from taskprompt.core.moment import Middle, Moment, Random
from taskprompt.core.source import Source
from taskprompt.core.types import Boxes, Camera, Clip, Joints, Map, Points, Sample, Vectors
from taskprompt.sources.folder import Folder
from taskprompt.testing import check_source
from taskprompt.video.augment import augment
from taskprompt.video.store import write_sample

DATA = Path(__file__).parents[2].parent / "shared" / "data"
genuine = pytest.mark.skipif(not DATA.is_dir(), reason="the genuine clips are not beside the repository")


def shown(sample: Sample) -> list[int]:
    """Which frames a sample shows."""
    return [round(float(f.mean()) / 12) for f in sample.clip.video]


def load(source: Source, at: int = 0, moment: Moment | None = None) -> Sample:
    return source.load(list(source.rows())[at], CLIP, moment or Middle())


@pytest.fixture
def classes(tmp_path):
    for name in ("walk/b.mp4", "walk/a.avi", "wave/deep/c.mkv", "wave/.hidden.mp4"):
        video(tmp_path / name)
    (tmp_path / "walk/notes.txt").write_text("not a clip")
    return tmp_path


def table(folder: Path, text: str) -> Path:
    (folder / "list.csv").write_text(text, encoding="utf-8")
    return folder


def test_sub_folders_are_classes(classes):
    source = Folder(path=str(classes))
    check_source(source, CLIP)
    rows = list(source.rows())
    assert [(r["key"], r["class"]) for r in rows] == [
        ("walk/a.avi", "walk"),
        ("walk/b.mp4", "walk"),
        ("wave/deep/c.mkv", "wave"),
    ]
    assert source.own_labels() == ("action",)
    sample = load(source, 2)
    assert sample.labels == {"action": "wave"}
    assert shown(sample) == MIDDLE
    np.testing.assert_allclose(sample.clip.times, np.array(MIDDLE) / 10)
    assert not sample.flip_sensitive
    assert load(Folder(path=str(classes), flip_sensitive=("wave",)), 2).flip_sensitive
    assert load(Folder(path=str(classes), label="verb"), 2).labels == {"verb": "wave"}
    assert load(Folder(path=str(classes), only=()), 2).labels == {}


def test_clips_without_a_class(tmp_path):
    video(tmp_path / "a.mp4")
    source = Folder(path=str(tmp_path))
    assert source.own_labels() == ()
    assert load(source).labels == {}


def test_shares_part_the_clips(tmp_path):
    for i in range(40):
        (tmp_path / "x").mkdir(exist_ok=True)
        (tmp_path / f"x/{i}.mp4").touch()
    keys = [
        {r["key"] for r in Folder(path=str(tmp_path), share=s).rows()} for s in ((0.0, 0.8), (0.8, 1.0), (0.0, 1.0))
    ]
    assert keys[0].isdisjoint(keys[1])
    assert keys[0] | keys[1] == keys[2]
    assert len(keys[2]) == 40
    assert len(keys[0]) == 36  # by hash, so the same for ever
    for i in range(5):
        fold = (i / 5, (i + 1) / 5)
        inside = {r["key"] for r in Folder(path=str(tmp_path), share=fold).rows()}
        outside = {r["key"] for r in Folder(path=str(tmp_path), leave=fold).rows()}
        assert inside.isdisjoint(outside)
        assert inside | outside == keys[2]
    assert not keys[1] & {r["key"] for r in Folder(path=str(tmp_path), share=(0.5, 1), leave=(0.8, 1.0)).rows()}


def test_csv_with_spans_classes_and_plain_labels(classes):
    text = (
        "clip;class;start;end;split;say;score\n"
        'walk/a.avi;go;0.2;0.9;train;"hello; world";0.5\n'
        "walk/a.avi;stop;1;;val;;\n"
        "walk/a.avi;stop;1;;train;x;3\n"
        "wave/deep/c.mkv;;;;train;y;\n"
    )
    folder = str(table(classes, text))
    source = Folder(path=folder, csv="list.csv", texts={"caption": "say"}, numbers={"score": "score"})
    check_source(source, CLIP, samples=4)
    assert source.own_labels() == ("action", "caption", "score")
    assert [r["key"] for r in source.rows()] == [
        "walk/a.avi@0.2-0.9",
        "walk/a.avi@1-",
        "walk/a.avi@1-#2",
        "wave/deep/c.mkv",
    ]
    samples = [load(source, i) for i in range(4)]
    assert [shown(s) for s in samples] == [[2, 4, 6, 8], [11, 13, 15, 17], [11, 13, 15, 17], MIDDLE]
    assert [s.labels for s in samples] == [
        {"action": "go", "caption": "hello; world", "score": 0.5},
        {"action": "stop"},
        {"action": "stop", "caption": "x", "score": 3.0},
        {"caption": "y"},
    ]
    train = Folder(path=folder, csv="list.csv", split="train", only=("action",))
    assert [r["key"] for r in train.rows()] == ["walk/a.avi@0.2-0.9", "walk/a.avi@1-", "wave/deep/c.mkv"]
    assert load(train).labels == {"action": "go"}
    for seed in range(20):
        assert set(shown(load(source, 0, Random(np.random.default_rng(seed))))) <= set(range(2, 9))


def test_csv_with_names_of_its_own(classes):
    folder = str(table(classes, "\ufeff id , what\nb , going\n"))
    source = Folder.model_validate(
        {"path": folder, "csv": "list.csv", "columns": {"clip": "id", "label": "what"}, "file": "walk/{clip}.mp4"}
    )
    check_source(source, CLIP)
    assert load(source).labels == {"action": "going"}


def test_csv_errors_name_what_was_found(classes):
    def rows(text, **options):
        table(classes, text)
        return list(Folder.model_validate({"path": str(classes), "csv": "list.csv", **options}).rows())

    with pytest.raises(SourceError, match=r"no column 'clip'\. Did you mean 'clips'\? Found: clips, class\."):
        rows("clips,class\na,b\n")
    with pytest.raises(SourceError, match="no column 'verb'"):
        rows("clip,class\na,b\n", columns={"label": "verb"})
    with pytest.raises(SourceError, match="no column 'split'"):
        rows("clip,class\na,b\n", split="val")
    with pytest.raises(SourceError, match=r"no line has the split 'val'\. Found: test, train"):
        rows("clip,split\na,train\nb,test\n", split="val")
    with pytest.raises(SourceError, match="line 3: found 3 cells, expected 2"):
        rows("clip,class\na,b\na,b,c\n")
    with pytest.raises(SourceError, match="line 2: column 'end' holds 'soon', expected a number"):
        rows("clip,end\na,soon\n")
    with pytest.raises(SourceError, match=r"list\.csv: cannot be read as a csv file: No such file"):
        list(Folder(path=str(classes / "walk"), csv="list.csv").rows())


def test_a_csv_without_classes_says_which_columns_it_has(classes):
    table(classes, "clip,kind\na,b\n")
    source = Folder(path=str(classes), csv="list.csv")
    assert source.why_missing("action") == ("list.csv has no column 'class' (found: clip, kind; set `columns.label`)")
    assert source.why_missing("depth") == ""
    renamed = Folder.model_validate({"path": str(classes), "csv": "list.csv", "columns": {"label": "kind"}})
    assert renamed.why_missing("action") == ""


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(SourceError, match="cannot be read: No such file or directory"):
        Folder(path=str(tmp_path / "none")).own_labels()
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot be read: Not a directory"):
        list(Folder(path=str(tmp_path / "file")).rows())
    with pytest.raises(SourceError, match="no video is selected"):
        list(Folder(path=str(tmp_path)).rows())


def test_clips_that_cannot_be_used(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").write_text("text")
    (tmp_path / "c.mp4").symlink_to(tmp_path / "gone")
    source = Folder(path=str(tmp_path))
    rows = list(source.rows())
    assert len(rows) == 3
    for row, words in zip(rows, ("is empty", "cannot be opened as a video", "does not exist"), strict=True):
        with pytest.raises(SampleError, match=words):
            source.load(row, CLIP, Middle())


def test_label_files(tmp_path):
    clip = video(tmp_path / "walk/a.mp4")
    rng = np.random.default_rng(0)
    depth = rng.integers(0, 60000, (FRAMES, HEIGHT, WIDTH), np.uint16)
    depth[:, 0] = 0
    classes = rng.integers(0, 20, (FRAMES, HEIGHT, WIDTH), np.uint8)
    normal = rng.standard_normal((FRAMES, HEIGHT, WIDTH, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    joints = rng.standard_normal((FRAMES, 3, 3)).astype(np.float32)
    (clip.parent / "depth" / "a").mkdir(parents=True)
    (clip.parent / "mask").mkdir()
    for i in range(FRAMES):
        Image.fromarray(depth[i]).save(clip.parent / f"depth/a/{i + 1:05d}.png")
        Image.fromarray(classes[i]).save(clip.parent / f"mask/a_{i}.png")
    Image.fromarray(classes[0]).save(clip.parent / "a.still.png")
    np.savez(clip.parent / "a.geometry.npz", normal=normal, joints=joints)
    np.save(clip.parent / "a.npy", np.arange(FRAMES) % 2)
    boxes = [[[i, 1, i + 5, 9]] * (i % 3) + [None] * (i % 2) for i in range(FRAMES)]
    hands = [[[i, 2], [None, None]] for i in range(5)]
    data = {"boxes": boxes, "hands": hands, "seconds": [0, 0.5, 1, 1.5, 2], "K": [[9, 0, 4], [0, 9, 4], [0, 0, 1]]}
    (clip.parent / "a.json").write_text(json.dumps({**data, "who": {"age": 7}}))
    source = Folder.model_validate(
        {
            "path": str(tmp_path),
            "labels": {
                "depth": {
                    "form": "map",
                    "file": "depth/{stem}/{frame:05d}.png",
                    "first": 1,
                    "scale": 0.001,
                    "invalid": 0,
                },
                "segmentation": {"form": "map", "file": "mask/{stem}_{frame}.png", "invalid": 3},
                "still": {"form": "map", "file": "{stem}.still.png"},
                "normal": {"form": "vectors", "file": "{stem}.geometry.npz", "key": "normal"},
                "pose3d": {"form": "joints", "file": "{stem}.geometry.npz", "key": "joints", "swap": [[0, 2]]},
                "touch": {"form": "value", "file": "{stem}.npy", "framed": True},
                "boxes": {"form": "boxes", "file": "{stem}.json", "key": "boxes"},
                "hands": {"form": "points", "file": "{stem}.json", "key": "hands", "times": "seconds"},
                "camera": {"form": "camera", "file": "{stem}.json", "key": "K"},
                "who": {"form": "value", "file": "{stem}.json", "key": "who"},
                "absent": {"form": "map", "file": "{stem}.nowhere.npz"},
            },
        }
    )
    check_source(source, CLIP)
    labels = load(source).labels
    assert set(labels) == {*source.own_labels()} - {"absent"}
    metres = depth[MIDDLE].astype(np.float32) * np.float32(0.001)
    metres[:, 0] = np.nan
    known = np.where(classes[MIDDLE] == 3, 255, classes[MIDDLE])
    expected = {
        "depth": Map(metres),
        "segmentation": Map(known.astype(np.uint8)),
        "still": Map(np.repeat(classes[:1], 4, 0)),
        "normal": Vectors(normal[MIDDLE]),
        "pose3d": Joints(joints[MIDDLE], ((0, 2),)),
        "hands": Points(np.array([[[i, 2], [np.nan] * 2] for i in (1, 2, 2, 2)], np.float32)),
        "camera": Camera(np.repeat(np.array(data["K"], np.float64)[None], 4, 0)),
    }
    for name, label in expected.items():
        assert type(labels[name]) is type(label)
        assert labels[name].values.dtype == label.values.dtype
        np.testing.assert_allclose(labels[name].values, label.values, rtol=1e-6)
    assert labels["pose3d"].swap == ((0, 2),)
    assert isinstance(labels["boxes"], Boxes)
    assert labels["boxes"].values.shape == (4, 3, 4)
    np.testing.assert_array_equal(np.isfinite(labels["boxes"].values[..., 0]).sum(1), [0, 2, 1, 0])
    np.testing.assert_array_equal(labels["boxes"].values[1, 0], [8, 1, 13, 9])
    assert labels["touch"].tolist() == [0, 0, 0, 0]
    assert labels["who"] == {"age": 7}
    only = source.model_copy(update={"only": ("touch",)})
    assert set(load(only).labels) == {"touch"}
    augment(load(source), CLIP)


def test_label_files_that_do_not_fit(tmp_path):
    clip = video(tmp_path / "a.mp4")

    def sample(**options):
        return load(Folder.model_validate({"path": str(tmp_path), "labels": {"x": {"form": "map", **options}}}))

    half = np.arange(FRAMES * 16 * 24, dtype=np.float32).reshape(FRAMES, 16, 24)
    np.savez(tmp_path / "a.half.npz", half)
    with pytest.raises(SampleError, match=r"'\{stem\}.half.npz' is 16 x 24, expected 32 x 48 as the frames"):
        sample(file="{stem}.half.npz")
    scaled = sample(file="{stem}.half.npz", resize=True).labels["x"].values
    np.testing.assert_array_equal(scaled[:, ::2, ::2], half[MIDDLE])
    np.savez(tmp_path / "a.short.npz", np.zeros((9, HEIGHT, WIDTH)))
    with pytest.raises(SampleError, match=r"short.npz: holds 9 frames, expected at least 13 as in a.mp4"):
        sample(file="{stem}.short.npz")
    np.savez(tmp_path / "a.two.npz", one=np.zeros(3), two=np.zeros(3))
    with pytest.raises(SampleError, match="holds one, two; expected one, or set `key`"):
        sample(file="{stem}.two.npz")
    with pytest.raises(SampleError, match="holds one, two; expected three"):
        sample(file="{stem}.two.npz", key="three")
    (tmp_path / "a.bad.npz").write_bytes(b"PK nothing")
    (tmp_path / "a.bad.png").write_bytes(b"nothing")
    (tmp_path / "a.bad.json").write_text("{")
    for name in ("a.bad.npz", "a.bad.png", "a.bad.json"):
        with pytest.raises(SampleError, match=f"{name}: cannot be read"):
            sample(file=name)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "a_8.png")
    with pytest.raises(SampleError, match=r"a_6.png: is missing, though other frames"):
        sample(file="{stem}_{frame}.png")
    np.savez(tmp_path / "a.many.npz", np.full((FRAMES, HEIGHT, WIDTH), 300))
    with pytest.raises(SampleError, match="classes go up to 300, expected 0 to 255; set `scale`"):
        sample(file="{stem}.many.npz")
    (tmp_path / "a.ragged.json").write_text(json.dumps([[[1, 2]], [[1]]] * 10))
    with pytest.raises(SampleError, match=r"a frame has \[\[1\]\], expected a list of points, each 2 numbers"):
        sample(file="{stem}.ragged.json", form="points")
    assert clip.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"share": (0.5, 0.5)}, "0 <= low < high <= 1"),
        ({"leave": (0.5, 1.5)}, "0 <= low < high <= 1"),
        ({"split": "val"}, "no meaning without `csv`"),
        ({"file": "{name}"}, r"a path with \{clip\}"),
        ({"labels": {"x": {"form": "vectors", "file": "a.png"}}}, "cannot be read from a png"),
        ({"labels": {"x": {"form": "map", "file": "{steam}.npz"}}}, "are filled in"),
        ({"labels": {"x": {"form": "map", "file": "a.exr"}}}, "ends in .png, .npz"),
        ({"labels": {"x": {"form": "boxes", "file": "a.json", "scale": 2}}}, "`scale` has no meaning"),
        ({"labels": {"action": {"form": "map", "file": "a.npz"}}}, "declared twice: action"),
    ],
)
def test_wrong_specs(options, words):
    with pytest.raises(ValidationError, match=words):
        Folder.model_validate({"path": ".", **options})


def test_stored_samples_need_no_declaration(tmp_path):
    rng = np.random.default_rng(0)
    frames = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * np.full((1, HEIGHT, WIDTH, 3), 12, np.uint8)
    depth = rng.random((FRAMES, HEIGHT, WIDTH), np.float32)
    labels = {"depth": Map(depth), "action": "push", "caption": "It moves."}
    stored = Sample("elsewhere", Clip(frames, 0.05 + np.arange(FRAMES) / 10), labels, True)
    for name in ("train/000", "train/001"):
        write_sample(tmp_path, name, stored)
    source = Folder(path=str(tmp_path))
    check_source(source, CLIP)
    assert set(source.own_labels()) == {"action", "caption", "depth"}
    sample = load(source)
    assert sample.key == "train/000.mov"
    assert shown(sample) == MIDDLE
    np.testing.assert_array_equal(sample.labels["depth"].values, depth[MIDDLE])
    assert (sample.labels["action"], sample.labels["caption"], sample.flip_sensitive) == ("push", "It moves.", True)
    assert set(load(Folder(path=str(tmp_path), only=("depth",))).labels) == {"depth"}
    exact = Folder(path=str(tmp_path)).load(next(source.rows()), ClipSpec(frames=FRAMES, fps=10), Middle())
    np.testing.assert_array_equal(exact.clip.video, frames)
    np.testing.assert_array_equal(exact.clip.times, stored.clip.times)
    (tmp_path / "train/000.labels.npz").unlink()
    with pytest.raises(SampleError, match=r"000\.labels\.npz: cannot be read"):
        load(source)


@genuine
@pytest.mark.parametrize(
    ("folder", "count", "names"), [("fights", 90, 2), ("ucf101_clips", 16, 4), ("asl_words", 20, 20)]
)
def test_genuine_clips(folder, count, names):
    by_name = Folder(path=str(DATA / folder))
    by_table = Folder(path=str(DATA / folder), csv="labels.csv", numbers={"frames": "frames"})
    rows = {r["key"]: r["class"] for r in by_name.rows()}
    assert len(rows) == count
    assert len(set(rows.values())) == names
    with open(DATA / folder / "labels.csv", newline="") as file:
        assert {line["clip"]: line["class"] for line in csv.DictReader(file)} == {
            r["key"]: r["class"] for r in by_table.rows()
        }
    clip = ClipSpec(frames=8, height=64, width=64, fps=4)
    for row in list(by_name.rows())[:: count // 6]:
        sample = by_name.load(row, clip, Random(np.random.default_rng(0)))
        assert np.diff(sample.clip.times).min() > 0.1 or sample.clip.times[-1] > 1.5  # long enough, or its end repeats
        assert min(sample.clip.video.shape[1:3]) == 128
        assert augment(sample, clip).clip.video.shape == (8, 64, 64, 3)
