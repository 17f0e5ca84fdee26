"""Label files of other people: of any content they give a label or one SampleError; other conventions are named."""

import json
import os
import resource
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from greys import CLIP, FRAMES, HEIGHT, MIDDLE, WIDTH, announced, npy, npz, video
from PIL import Image
from pydantic import ValidationError

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SampleError
from taskprompt.core.moment import Middle
from taskprompt.core.types import Dims
from taskprompt.data.batch import prepare
from taskprompt.sources.folder import Folder
from taskprompt.tasks.boxes import Boxes
from taskprompt.tasks.segmentation import Segmentation
from taskprompt.video.augment import augment

GRID = np.zeros((FRAMES, HEIGHT, WIDTH), np.float32)
DIMS = Dims(4, HEIGHT, WIDTH, (2, 2, 3), 32)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return video(tmp_path_factory.mktemp("film") / "a.mp4").read_bytes()


@pytest.fixture
def read(tmp_path, film):
    """A function: what a file (or files) beside the clip holds, and the label's options -> the sample with label x."""
    (tmp_path / "a.mp4").write_bytes(film)

    def read(data, suffix=".json", **options):
        files = data if isinstance(data, dict) else {f"a.x{suffix}": data}
        for name, content in files.items():
            if isinstance(content, np.ndarray):
                content = npy(content) if suffix == ".npy" else npz(npy(content))
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        spec = {"file": "{stem}.x" + suffix} | options
        source = Folder.model_validate({"path": str(tmp_path), "labels": {"x": spec}})
        return source.load(next(source.rows()), CLIP, Middle())

    return read


def values(sample):
    return sample.labels["x"].values


def unit(x, y, z):
    return np.broadcast_to(np.array([x, y, z], np.float32), (FRAMES, HEIGHT, WIDTH, 3))


def camera(*rows):
    return np.tile(np.array(rows, float), (FRAMES, 1, 1))


@pytest.mark.parametrize(
    ("form", "label", "words"),
    [
        ("boxes", [[[30, 10, 10, 20]]] * FRAMES, "box 30 10 10 20, whose x1 y1 are less than its x0 y0.*`box: xywh`"),
        ("boxes", [[[0.25, 0.25, 0.75, 0.75]]] * FRAMES, "no corner above 0.75; expected pixels.*`relative: true`"),
        ("boxes", [[[0, 0, 1, 1.0000001]]] * FRAMES, "`relative: true`"),  # the whole frame
        ("boxes", [[[300, 200, 380, 280]]] * FRAMES, "20 of its 20 boxes are outside of the frames of 32 x 48"),
        ("boxes", [[[5, 5, 9, 9]]] * 19 + [[[5, 5, 300, 9]]], "far outside of the frames"),
        ("boxes", [[[5, 5, 9, 9]]] * 19 + [[[30, 10, 10, 20]]], "x1 y1 are less than"),  # of a frame that is not shown
        ("boxes", [[[5, 5, 9, 1e999]]] * FRAMES, "infinite corner"),
        ("boxes", [[[5, 5, 9, 9, 0.7]]] * FRAMES, "each 4 numbers or null"),
        ("boxes", [[5, 5, 9, 9]] * FRAMES, "expected a list of boxes"),
        ("boxes", [[{"x": 1}]] * FRAMES, "expected a list of boxes"),
        ("points", [[[0.5, 0.2], [0.1, 0.9]]] * FRAMES, "`relative: true`"),
        ("points", [[[500, 200]]] * FRAMES, "20 points are outside"),
        ("points", [[[5, 5, 2]]] * FRAMES, "each 2 numbers"),
        ("points", [[[5, 5]], [[5, 5], [6, 6]]] * 10, "frames have 1, 2 points, expected the same number in each"),
        ("joints", [[[100, -200, 3000.0]]] * FRAMES, "`scale: 0.001` for millimetres"),
        ("joints", [[[0, 0, 1e999]]] * FRAMES, "infinite joint"),
        ("camera", camera([40, 0, 0], [0, 40, 0], [24, 16, 1]), "transposed"),
        ("camera", camera([0.8, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]), "expected pixels. Multiply by the frame's width"),
        ("camera", camera([40, 0, 24], [0, -40, 16], [0, 0, 1]), "y down"),
        ("camera", camera([40, 0, np.nan], [0, 40, 16], [0, 0, 1]), "not finite"),
        ("camera", [[40, 40, 24, 16]] * FRAMES, "holds 20 x 4, expected frames x 3 x 3"),
        ("camera", np.eye(4), "holds 4 x 4"),
        ("vectors", (unit(0, 0, -1) + 1) / 2, r"unit vectors \(n \+ 1\) / 2"),
        ("vectors", (unit(0.6, 0, -0.8) + 1) / 2, "colours"),
        ("vectors", ((unit(0, 0, -1) + 1) * 127.5).astype(np.uint8), "whole numbers up to 127.*colours"),
        ("vectors", (unit(0, 0, -1) + 1) * 127.5, "colours"),
        ("vectors", 3 * unit(0, 0, -1), "Divide each by its length"),
        ("map", np.full((FRAMES, HEIGHT, WIDTH), -1), "classes go down to -1.*`invalid`"),
        ("map", np.zeros((FRAMES, HEIGHT, WIDTH, 3)), "found 32 x 48 x 3 for a frame, expected height x width"),
        ("map", np.zeros((FRAMES, 0, WIDTH)), "found 0 x 48 for a frame, expected height x width"),
    ],
)
def test_another_convention_is_named(read, form, label, words):
    with pytest.raises(SampleError, match=words) as error:
        read(label, ".npz" if isinstance(label, np.ndarray) else ".json", form=form)
    assert "a.x." in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("form", "label", "expected"),
    [
        ("boxes", [[]] * FRAMES, np.empty((4, 0, 4))),
        ("boxes", [None] * FRAMES, np.empty((4, 0, 4))),
        ("boxes", [[]] * 8 + [[[0, 0, 48.0000001, 32]], [None, [1, 1, 1, 1]]] * 6, None),  # at the border; of no size
        ("boxes", [[[0, 0, 0, 0]]] * FRAMES, np.zeros((4, 1, 4))),  # how some tools write no object
        ("boxes", [[[-5, -3, 9, 9]]] * FRAMES, np.tile([-5.0, -3, 9, 9], (4, 1, 1))),  # an object that leaves the frame
        ("boxes", [[[3, 3, 3.0, 2.9999]]] * FRAMES, np.tile(np.array([3, 3, 3, 2.9999], np.float32), (4, 1, 1))),
        ("boxes", np.zeros((FRAMES, 0)), np.empty((4, 0, 4))),
        ("points", [[[0, 0], [5, 7]]] * FRAMES, np.tile(np.array([[0, 0], [5, 7]], np.float32), (4, 1, 1))),
        ("points", [[], None] * 5 + [[[5, 7]]] * 10, None),
        ("joints", [[[0, 0, 1], [None] * 3]] * FRAMES, None),
        ("camera", np.array([[40, 0.5, 24], [0, 40, 16], [0, 0, 1]]), None),
        ("camera", np.full((FRAMES, 3, 3), np.nan), np.full((4, 3, 3), np.nan)),
        ("vectors", unit(0, 0.6, -0.8).astype(np.float16), None),
        ("vectors", np.asfortranarray(unit(0, 0.6, -0.8)), None),
        ("vectors", unit(0, 0, -1) * np.float32(1.02), None),
    ],
)
def test_what_is_legal_is_read(read, form, label, expected):
    sample = read(label, ".npz" if isinstance(label, np.ndarray) else ".json", form=form)
    found = values(sample)
    assert len(found) == 4
    if expected is not None:
        np.testing.assert_array_equal(found, expected)
    augment(sample, CLIP)


def test_a_clip_without_objects_trains_nothing_here(read):
    sample = augment(read([[]] * FRAMES, form="boxes"), CLIP)
    assert not prepare(sample, {"x": Boxes()}, DIMS)["x/seen"].any()


@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_a_file_a_frame_may_hold_any_number_of_boxes(read, suffix):
    boxes = [[[10, 10, 30, 30]] * (i // 5) for i in range(FRAMES)]
    files = {f"a_{i}{suffix}": np.array(b, float) if suffix == ".npy" else b for i, b in enumerate(boxes)}
    found = values(read(files, suffix, form="boxes", file="{stem}_{frame}" + suffix))
    assert np.isfinite(found[..., 0]).sum(1).tolist() == [i // 5 for i in MIDDLE]


def test_boxes_of_other_conventions_are_read_where_that_is_said(read):
    for box, stored in (("xywh", [6, 8, 12, 16]), ("cxcywh", [12, 16, 12, 16])):
        for relative in (False, True):
            given = [v / (32 if i % 2 else 48) if relative else v for i, v in enumerate(stored)]
            found = values(read([[given]] * FRAMES, form="boxes", box=box, relative=relative))
            np.testing.assert_allclose(found, np.tile([6, 8, 18, 24], (4, 1, 1)), rtol=1e-6)
    points = values(read([[[0.5, 0.25]]] * FRAMES, form="points", relative=True))
    np.testing.assert_array_equal(points, np.tile(np.array([24, 8], np.float32), (4, 1, 1)))
    joints = values(read([[[0, 0, 2000]]] * FRAMES, form="joints", scale=0.001))
    np.testing.assert_allclose(joints, np.tile([0, 0, 2], (4, 1, 1)))


def test_unknown_is_all_numbers_of_one_entry(read):
    points = values(read([[[0, 5], [0, 0], [7, 0]]] * FRAMES, form="points", invalid=0))
    assert np.isnan(points[0]).all(-1).tolist() == [False, True, False]
    vectors = np.array(unit(0, 0, -1))
    vectors[:, 0] = 0  # as renderers write a pixel without a surface
    for options in ({}, {"invalid": 0}):
        known = np.isfinite(values(read(vectors, ".npz", form="vectors", **options))).all(-1)
        assert not known[:, 0].any()
        assert known[:, 1:].all()


def test_classes_stored_as_floats(read):
    stored = np.ones((FRAMES, HEIGHT, WIDTH), np.float32)
    stored[:, :16] = np.nan
    task = Segmentation(classes=5, height=4, width=4)
    row = prepare(read(stored, ".npy", form="map"), {"x": task}, DIMS)
    assert row["x/index"][0, :, 0].tolist() == [255, 255, 1, 1]
    for bad in (0.5, -1, 7, np.inf):
        with pytest.raises(SampleError, match="the map has class"):
            prepare(read(np.full_like(stored, bad), ".npy", form="map"), {"x": task}, DIMS)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_classes_of_a_png_of_few_bits(read, bits):
    """Grey of 1, 2 and 4 bits, made by hand, and a palette of any."""
    rows = np.arange(HEIGHT)[:, None] % 2**bits + np.zeros((1, WIDTH), int)
    packed = [np.packbits((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).tobytes() for row in rows]
    body = zlib.compress(b"".join(b"\0" + line for line in packed))
    for colour in (0, 3):
        data = png(WIDTH, HEIGHT, bits, colour, body)
        np.testing.assert_array_equal(values(read(data, ".png", form="map"))[0], rows)


def png(width, height, bits, colour, body):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    palette = chunk(b"PLTE", bytes(3 * 2**bits)) if colour == 3 else b""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + palette + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def broken(data: bytes, at: int, count: int = 30) -> bytes:
    return data[:at] + b"\xff" * count + data[at + count :]


def image(mode):
    file = BytesIO()
    Image.new(mode, (WIDTH, HEIGHT)).save(file, "png")
    return file.getvalue()


NOISE = np.random.default_rng(0).random((FRAMES, HEIGHT, WIDTH)).astype(np.float32)
OTHER_METHOD = npz(npy(GRID)).replace(b"\x14\x00\x00\x00\x08\x00", b"\x14\x00\x00\x00\x63\x00")
MANY_PIXELS = png(12000, 7400, 1, 0, zlib.compress(bytes(1501 * 7400)))  # 10 kB
FLAT = png(WIDTH, HEIGHT, 8, 0, zlib.compress(bytes((WIDTH + 1) * HEIGHT), 0))


@pytest.mark.parametrize(
    ("form", "suffix", "data"),
    [
        *(("boxes", ".json", data) for data in (b"[" * 5000, b"[" * 200 + b"]" * 200, b"1" * 6000, b"", b"null")),
        *(("boxes", ".json", data) for data in (b"3", b'"a"', b"\xff\xfe", b"[1.5, 2.5]", b'{"a": 1}', b"[[[1e999]]]")),
        ("boxes", ".json", b"[[" + b"null," * 50000 + b"null]" + b",[]" * 50000 + b"]"),  # 10 GB of unknown boxes
        ("points", ".json", json.dumps([[[10**400, 1]]] * FRAMES).encode()),
        *(("joints", ".npy", npy(np.array(a))) for a in (3.0, [["a"] * 3] * FRAMES, [], [[[1j] * 3]] * FRAMES)),
        *(("joints", ".npy", announced(s)) for s in ("(9000000000,)", "(20, 25, 3", "(-1, 3)", "(10**99, 0)", "'a'")),
        *(("joints", ".npy", announced("(20,)", d)) for d in ("'|O'", "'<U0'", "'|V8'", "[('a', '<f4')]", "5", "'zz'")),
        ("joints", ".npy", announced("(9000000000,)", "'<U0'")),
        ("joints", ".npy", announced("(20, 25, 3)", "'<f8'", bytes(100))),
        ("joints", ".npy", b"\x93NUMPY\x09\x00"),
        ("map", ".npy", npy(np.zeros((FRAMES, 0, WIDTH), np.float32))),
        ("map", ".npy", announced("(20, 32, 48)", "'<f4'", bytes(50), "True")),
        ("map", ".npz", npy(GRID)),
        ("map", ".npz", OTHER_METHOD),
        ("map", ".npz", npz(npy(GRID), method=14)),  # lzma, whose blocks cannot be bounded
        ("map", ".npz", broken(npz(npy(NOISE)), 90)),
        ("map", ".npz", broken(npz(npy(NOISE), method=0), 4000, 1)),  # the checksum alone can tell
        ("map", ".npz", npz(announced("(4000000000, 32, 48)"))),
        ("map", ".npz", npz(b"not an array")),
        ("map", ".npz", b"PK\x05\x06" + bytes(18)),
        ("map", ".png", png(20000, 20000, 8, 0, b"")),
        ("map", ".png", MANY_PIXELS),
        ("map", ".png", broken(FLAT, 300, 1)),  # the checksum alone can tell
        ("map", ".png", png(WIDTH, HEIGHT, 8, 0, zlib.compress(bytes(100)))),
        ("map", ".png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n"),
        ("map", ".png", b"GIF89a" + bytes(100)),
        *(("map", ".png", image(mode)) for mode in ("RGB", "RGBA", "LA")),
        ("value", ".npy", npy(np.array(3.0))),
    ],
)
@pytest.mark.parametrize("resize", [False, True])
def test_any_content_is_one_sample_error(read, form, suffix, data, resize, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    more = {"framed": True} if form == "value" else {}
    if form == "map" and resize:
        more = {"resize": True, "scale": 0.001}
    if form == "map" and resize and suffix == ".png" and data == MANY_PIXELS:  # scaled to the frames, it is usable
        assert values(read(data, suffix, form=form, **more)).shape == (4, HEIGHT, WIDTH)
    else:
        with pytest.raises(SampleError, match=r"a\.x\.") as error:
            read(data, suffix, form=form, **more)
        assert "\n" not in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10  # KiB
    assert not ran.exists()


def test_only_the_rows_of_the_clip_are_in_memory(read, tmp_path):
    """Four frames of an array that announces 8 GB, in a file with holes."""
    head = announced("(20, 16000, 6000)", "'<f4'")
    (tmp_path / "a.x.npy").write_bytes(head)
    os.truncate(tmp_path / "a.x.npy", len(head) + 20 * 16000 * 6000 * 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SampleError, match="a frame takes 366 MiB"):
        read({}, ".npy", form="map", resize=True)
    head = announced("(200000, 32, 48)", "'<f4'")
    (tmp_path / "a.x.npy").write_bytes(head)
    os.truncate(tmp_path / "a.x.npy", len(head) + 200000 * 32 * 48 * 4)
    with pytest.raises(SampleError, match=r"holds 200000 rows, but a\.mp4 has 20 frames.*`times`"):
        read({}, ".npy", form="map")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ([0, 500, 1000, 1500, 2000], "neither milliseconds nor frame numbers"),
        ([900.0, 900.5, 901, 901.5, 902], "lasts"),
        ([0, 0.5], r"shape \(2,\), expected \(5,\)"),
        ([0, 0.5, None, 1.5, 2], "seconds of every row"),
        ([], r"shape \(0,\)"),
        ([[0], [1], [2], [3], [4]], "seconds of every row"),
    ],
)
def test_seconds_that_can_be_no_seconds(read, seconds, words):
    with pytest.raises(SampleError, match=words):
        read({"a.x.json": {"v": [1, 2, 3, 4, 5], "s": seconds}}, form="value", framed=True, key="v", times="s")


def test_the_number_of_the_first_file(read):
    files = {f"a_{i}.json": [[i, 1, i + 1, 5]] for i in range(1, FRAMES + 1)}
    with pytest.raises(SampleError, match=r"a_20.json: is numbered after the last of 20 frames.*`first: 1`"):
        read(files, form="boxes", file="{stem}_{frame}.json")
    read(files, form="boxes", file="{stem}_{frame}.json", first=1)
    with pytest.raises(SampleError, match=r"a_0.json: is numbered before the first frame"):
        read(files | {"a_0.json": []}, form="boxes", file="{stem}_{frame}.json", first=1)


def test_what_is_there_but_no_file(read, tmp_path):
    for make, words in (
        (lambda file: file.mkdir(), "is not a file"),
        (lambda file: os.mkfifo(file), "is not a file"),
        (lambda file: file.symlink_to(tmp_path / "gone"), "is a broken link"),
        (lambda file: file.symlink_to(file), "cannot be read: Too many levels"),
    ):
        file = tmp_path / "a.x.json"
        make(file)
        with pytest.raises(SampleError, match=words):
            read({}, form="boxes")
        file.rmdir() if file.is_dir() else file.unlink()
    assert "x" not in read({}, form="boxes").labels


@pytest.mark.parametrize("name", ["br{ace}", "br{0}", "{open", "}", "a:b", "new\nline", "caf\udce9"])
def test_any_name_of_folder_and_clip(tmp_path, film, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.mp4").write_bytes(film)
    (tmp_path / name / f"{name}.mp4.json").write_text(json.dumps([*range(FRAMES)]))
    label = {"form": "value", "file": "{name}.json", "framed": True}
    source = Folder.model_validate({"path": str(tmp_path), "labels": {"v": label}})
    (row,) = source.rows()
    row["key"].encode()
    assert source.load(row, CLIP, Middle()).labels["v"] == MIDDLE


@pytest.mark.parametrize(
    "file",
    [
        "{frame:0999999999d}.npy",
        "{stem.__class__}.npy",
        "{stem[0]}.npy",
        "{stem!r}.npy",
        "{}.npy",
        "{frame:{stem}}.npy",
    ],
)
def test_patterns_ask_for_values_alone(file):
    with pytest.raises(ValidationError, match="are filled in"):
        Folder.model_validate({"path": ".", "labels": {"x": {"form": "map", "file": file}}})


def test_frames_are_scaled_where_no_label_is_of_the_picture(tmp_path):
    video(tmp_path / "a.mp4", (96, 128))
    small = ClipSpec(frames=2, height=16, width=16, fps=5)
    for form, height in (("value", 32), ("joints", 32), ("boxes", 96)):
        labels = {"x": {"form": form, "file": "{stem}.none.json"}}
        source = Folder.model_validate({"path": str(tmp_path), "labels": labels})
        assert source.load(next(source.rows()), small, Middle()).clip.video.shape[1] == height
        without = source.model_copy(update={"only": ("other",)})
        assert without.load(next(source.rows()), small, Middle()).clip.video.shape[1] == 32
