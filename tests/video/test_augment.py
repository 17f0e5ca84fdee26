"""Labels move with the pixels: a drawn world is augmented, and the pixels are asked where things are now."""

import numpy as np
import pytest

from taskprompt.core.augment import Augment
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import LayoutError, SampleError
from taskprompt.core.types import Boxes, Camera, Clip, Joints, Map, Points, Sample, Vectors
from taskprompt.video.augment import augment, largest
from taskprompt.video.geometry import View, check_labels, move, move_labels

FRAMES, HEIGHT, WIDTH = 3, 90, 140
COLOURS = np.array([[30, 30, 30], [250, 40, 40], [40, 250, 40]], np.uint8)  # background, left ball, right ball


def world(flip_sensitive=False) -> Sample:
    """Two balls, joint 0 at the red one and joint 1 at the green one, which move over the frames."""
    camera = np.array([[120.0, 0, 66], [0, 110, 47], [0, 0, 1]])
    joints = np.array([[[-0.55 + 0.1 * t, 0.1, 3 + t], [0.5, -0.15 + 0.1 * t, 3.5]] for t in range(FRAMES)])
    points = joints @ camera.T
    points = points[..., :2] / points[..., 2:]
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    classes = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    boxes = np.zeros((FRAMES, 2, 4))
    for t in range(FRAMES):
        for ball, radius in ((0, 12), (1, 9)):
            inside = np.hypot(x - points[t, ball, 0], y - points[t, ball, 1]) < radius
            classes[t][inside] = ball + 1
            rows, columns = np.nonzero(inside)
            boxes[t, ball] = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    depth = np.choose(classes, [9.0, 3.0, 3.5]).astype(np.float32)
    normal = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.float32)
    normal[..., 0] = np.choose(classes, [0.0, 0.6, -0.8])  # the red ball faces right, the green one left
    normal[..., 2] = -np.sqrt(1 - normal[..., 0] ** 2)
    labels = {
        "depth": Map(depth),
        "segmentation": Map(classes),
        "normal": Vectors(normal),
        "boxes": Boxes(boxes),
        "points": Points(points, ((0, 1),)),
        "joints": Joints(joints, ((0, 1),)),
        "camera": Camera(np.repeat(camera[None], FRAMES, 0)),
        "action": "juggle",
    }
    return Sample("world", Clip(COLOURS[classes], np.arange(FRAMES) / 5), labels, flip_sensitive)


def seen(video: np.ndarray) -> np.ndarray:
    """t h w 3 -> t h w: which colour each pixel is nearest to, -1 where it is a mixture."""
    distance = np.abs(video[..., None, :].astype(int) - COLOURS).sum(-1)
    return np.where(distance.min(-1) < 60, distance.argmin(-1), -1)


def cases():
    for shape in ((64, 64), (90, 140), (48, 96), (120, 100)):
        yield shape, None
        for seed in range(6):
            yield shape, seed


@pytest.mark.parametrize(("shape", "seed"), list(cases()))
def test_labels_stay_on_their_pixels(shape, seed):
    spec = Augment(scale=(0.5, 1.0), flip=0.5)
    sample = world()
    rng = None if seed is None else np.random.default_rng(seed)
    out = augment(sample, ClipSpec(frames=FRAMES, height=shape[0], width=shape[1]), spec, rng)
    labels = out.labels
    assert out.clip.video.shape == (FRAMES, *shape, 3)
    check_labels(out)
    np.testing.assert_array_equal(out.clip.times, sample.clip.times)

    # maps: the class is the one whose colour is seen, but for the rim where colours mix
    found = seen(out.clip.video)
    classes = labels["segmentation"].values
    clear = found >= 0
    assert clear.mean() > 0.8
    assert (found == classes)[clear].mean() > 0.995
    np.testing.assert_array_equal(labels["depth"].values, np.choose(classes, [9.0, 3.0, 3.5]).astype(np.float32))

    # normals: still of length 1; the sign of x tells whether it was mirrored
    normal = labels["normal"].values
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1, atol=1e-6)
    ball = np.array([0.0, 0.6, -0.8])[classes]
    flipped = bool((normal[..., 0] * ball).sum() < 0)
    np.testing.assert_allclose(normal[..., 0], -ball if flipped else ball, atol=1e-6)

    # joints, projected by the camera, are the points; each lies on its ball
    joints = labels["joints"].values
    projected = np.einsum("tab,tjb->tja", labels["camera"].values, joints)
    projected = projected[..., :2] / projected[..., 2:]
    points = labels["points"].values
    inside = ((projected >= 0) & (projected < [shape[1], shape[0]])).all(-1)
    np.testing.assert_array_equal(np.isfinite(points).all(-1), inside)
    np.testing.assert_allclose(points[inside], projected[inside], atol=1e-6)
    for t, j in np.argwhere(inside):
        column, row = points[t, j].astype(int)
        assert classes[t, row, column] == ((2, 1) if flipped else (1, 2))[j]  # left and right changed places

    # boxes: bound the pixels of their ball
    scale = np.array([shape[1], shape[0]]) / [largest(HEIGHT, WIDTH, *shape).width * 0.5, HEIGHT * 0.5]
    for t, o in np.ndindex(FRAMES, 2):
        box = labels["boxes"].values[t, o]
        rows, columns = np.nonzero(classes[t] == o + 1)
        if np.isnan(box).any():
            assert len(rows) <= 0.15 * 450 * scale.prod()  # at most a sliver
            continue
        assert (box[:2] >= 0).all()
        assert (box[2:] <= [shape[1], shape[0]]).all()
        around = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        near = max(scale) + 0.5
        assert (np.array([-1, -1, 1, 1]) * (around - box) <= near).all()
        if (around > 0).all() and (around[2:] < [shape[1], shape[0]]).all():  # nothing of the ball was cut off
            np.testing.assert_allclose(box, around, atol=near)


def test_both_sides_are_drawn():
    spec, clip = Augment(scale=(1, 1), flip=0.5), ClipSpec(frames=FRAMES, height=90, width=140)
    sample = world()
    same = [
        np.array_equal(augment(sample, clip, spec, np.random.default_rng(s)).clip.video, sample.clip.video)
        for s in range(40)
    ]
    assert 10 <= sum(same) <= 30


def test_a_sided_sample_or_source_is_never_mirrored():
    spec, clip = Augment(scale=(1, 1), flip=1), ClipSpec(frames=FRAMES, height=90, width=140)
    rng = np.random.default_rng(0)
    plain = world().clip.video
    np.testing.assert_array_equal(augment(world(flip_sensitive=True), clip, spec, rng).clip.video, plain)
    np.testing.assert_array_equal(augment(world(), clip, spec, rng, allow_flip=False).clip.video, plain)
    np.testing.assert_array_equal(augment(world(), clip, spec, rng).clip.video, plain[:, :, ::-1])


def test_a_mirror_twice_is_nothing():
    view = View(0, 0, WIDTH, HEIGHT, WIDTH, HEIGHT, flip=True)
    labels = world().labels
    for name, label in move_labels(move_labels(labels, view), view).items():
        if name != "action":
            np.testing.assert_allclose(label.values, labels[name].values, atol=1e-9)


def test_numbers_by_hand():
    view = View(10, 20, 40, 20, 80, 60)  # twice as wide, three times as high
    assert move(Points(np.array([[[10.0, 20.0], [30.0, 30.0], [9.9, 25.0]]])), view).values[0, :2].tolist() == [
        [0, 0],
        [40, 30],
    ]
    assert np.isnan(move(Points(np.array([[[9.9, 25.0]]])), view).values).all()
    boxes = np.array([[[0, 0, 30, 30], [12, 22, 20, 30], [0, 0, 11, 21], [60, 0, 70, 5], [np.nan] * 4]], float)
    got = move(Boxes(boxes), view).values[0]
    assert got[:2].tolist() == [[0, 0, 40, 30], [4, 6, 20, 30]]
    assert np.isnan(got[2:]).all()  # a sliver, one outside, one unknown
    camera = move(Camera(np.array([[[100.0, 0, 32], [0, 100, 32], [0, 0, 1]]])), view).values[0]
    assert camera.tolist() == [[200, 0, 44], [0, 300, 36], [0, 0, 1]]
    flipped = View(0, 0, 8, 4, 8, 4, flip=True)
    assert move(Boxes(np.array([[[1.0, 1, 3, 2]]])), flipped).values.tolist() == [[[5, 1, 7, 2]]]
    assert move(Map(np.arange(8)[None, None]), View(0, 0, 8, 1, 4, 1)).values.tolist() == [[[1, 3, 5, 7]]]
    assert move("a word", flipped) == "a word"


def test_unknown_stays_unknown():
    depth = np.full((1, 4, 4), np.nan, np.float32)
    for label in (Map(depth), Vectors(np.full((1, 4, 4, 3), np.nan)), Joints(np.full((1, 2, 3), np.nan), ((0, 1),))):
        assert np.isnan(move(label, View(1, 1, 2, 2, 8, 8, flip=True)).values).all()


def test_without_spec_it_is_the_middle():
    video = np.zeros((1, 20, 40, 3), np.uint8)
    video[:, :, 10:30] = 200
    out = augment(Sample("a", Clip(video, np.zeros(1))), ClipSpec(frames=1, height=10, width=10))
    assert (out.clip.video == 200).all()


@pytest.mark.parametrize("part", ["brightness", "contrast", "saturation", "hue", "grey", "noise"])
def test_colour_touches_pixels_alone(part):
    amount = {"noise": 20.0, "grey": 1.0, "hue": 0.3}.get(part, 0.8)
    still = Augment(scale=(1, 1), flip=0)
    clip, sample = ClipSpec(frames=FRAMES, height=90, width=140), world()
    plain = augment(sample, clip, still, np.random.default_rng(3))
    out = augment(sample, clip, still.model_copy(update={part: amount}), np.random.default_rng(3))
    again = augment(sample, clip, still.model_copy(update={part: amount}), np.random.default_rng(3))
    np.testing.assert_array_equal(out.clip.video, again.clip.video)
    assert not np.array_equal(out.clip.video, plain.clip.video)
    for name in sample.labels.keys() - {"action"}:
        np.testing.assert_array_equal(out.labels[name].values, plain.labels[name].values)
    if part != "noise":  # one set of parameters a clip: a colour becomes one colour in all frames
        for colour in range(3):
            changed = out.clip.video[sample.labels["segmentation"].values == colour].astype(int)
            assert np.ptp(changed, axis=0).max() <= (12 if part == "contrast" else 0)
    if part == "grey":
        assert np.ptp(out.clip.video, axis=-1).max() == 0


def test_wrong_shapes_are_named():
    clip = ClipSpec(frames=FRAMES, height=32, width=32)
    sample = world()
    for label, words in (
        (Map(np.zeros((FRAMES, 9, 9))), "'x' is 3 x 9 x 9, expected 3 x 90 x 140"),
        (Boxes(np.zeros((2, 1, 4))), "'x' is 2 x 1 x 4, expected 3 x o x 4"),
        (Vectors(np.zeros((FRAMES, 90, 140))), "expected 3 x 90 x 140 x 3"),
    ):
        with pytest.raises(SampleError, match=words):
            augment(Sample("s", sample.clip, {"x": label}), clip)
    with pytest.raises(LayoutError, match="gave 3 frames, the clip has 8"):
        augment(sample, ClipSpec(frames=8))


def test_the_row_order_of_draws_is_fixed():
    """Whether a mirror is allowed must not change the crop."""
    spec, clip = Augment(scale=(0.5, 1), flip=0), ClipSpec(frames=FRAMES, height=32, width=32)
    for seed in range(5):
        a, b = (
            augment(world(flip_sensitive=s), clip, spec, np.random.default_rng(seed)).clip.video for s in (True, False)
        )
        np.testing.assert_array_equal(a, b)
