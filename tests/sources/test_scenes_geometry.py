"""The renderer against an analytic ray caster, the labels against one another, and the picture against the truth."""

import hashlib
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from taskprompt.core.types import Sample, plain
from taskprompt.sources._scenes.body import SWAP
from taskprompt.sources._scenes.camera import focal
from taskprompt.sources._scenes.draw import SLOTS, draw, stage
from taskprompt.sources._scenes.plan import ACTIONS
from taskprompt.sources._scenes.render import rays, render
from taskprompt.sources._scenes.world import ROOM, SEGMENTS

GEOM = mujoco.mjtGeom  # pyright: ignore[reportAttributeAccessIssue]


def roots(a, b, c):
    """a t^2 + 2 b t + c = 0 -> both t, infinite where there is none."""
    inside = b * b - a * c
    root = np.sqrt(np.maximum(inside, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        pair = np.stack([(-b - root) / a, (-b + root) / a])
    return np.where(inside >= 0, pair, np.inf)


def dot(a, b):
    return (a * b).sum(-1)


def first(hits, fits):
    """Smallest positive t that fits."""
    return np.where(fits & (hits > 1e-9), hits, np.inf).min(0)


def hit_ellipsoid(o, d, size):
    o, d = o / size, d / size
    hits = roots(dot(d, d), dot(o, d), dot(o, o) - 1)
    return first(hits, True)


def hit_side(o, d, radius, half):
    """A tube about z."""
    hits = roots(dot(d[:, :2], d[:, :2]), dot(o[:, :2], d[:, :2]), dot(o[:, :2], o[:, :2]) - radius**2)
    return first(hits, np.abs(o[:, 2] + hits * d[:, 2]) <= half)


def hit_capsule(o, d, size):
    radius, half = size[:2]
    ends = [hit_ellipsoid(o - [0, 0, z], d, np.full(3, radius)) for z in (-half, half)]
    return np.minimum(hit_side(o, d, radius, half), np.minimum(*ends))


def hit_cylinder(o, d, size):
    radius, half = size[:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        caps = np.stack([(z - o[:, 2]) / d[:, 2] for z in (-half, half)])
        at = o[None, :, :2] + caps[..., None] * d[None, :, :2]
    return np.minimum(hit_side(o, d, radius, half), first(caps, dot(at, at) <= radius**2))


def hit_box(o, d, size):
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = np.sort(np.stack([(-size - o) / d, (size - o) / d]), axis=0)
    enter, leave = near.max(-1), far.min(-1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def hit_plane(o, d, size):
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = -o[:, 2] / d[:, 2]
    return np.where((hits > 0) & (d[:, 2] < 0), hits, np.inf)


HIT = {
    int(GEOM.mjGEOM_PLANE): hit_plane,
    int(GEOM.mjGEOM_SPHERE): lambda o, d, size: hit_ellipsoid(o, d, np.full(3, size[0])),
    int(GEOM.mjGEOM_CAPSULE): hit_capsule,
    int(GEOM.mjGEOM_ELLIPSOID): hit_ellipsoid,
    int(GEOM.mjGEOM_CYLINDER): hit_cylinder,
    int(GEOM.mjGEOM_BOX): hit_box,
}


def oracle(world, origin, ways):
    """n 3 -> geom n, distance n, by formulas alone."""
    distance = np.full((world.model.ngeom, len(ways)), np.inf)
    for g, kind in enumerate(world.model.geom_type):
        turn = world.data.geom_xmat[g].reshape(3, 3)
        o = np.broadcast_to((origin - world.data.geom_xpos[g]) @ turn, ways.shape)
        distance[g] = HIT[int(kind)](o, ways @ turn, world.model.geom_size[g])
    return distance.argmin(0), distance.min(0)


@pytest.mark.parametrize(
    ("seed", "action", "u"), [(0, "run", 0.4), (1, "pick_up", 0.7), (2, "drop", 0.5), (3, "wave", 1)]
)
def test_parts_depth_and_normals_agree_with_the_oracle(seed, action, u):
    scene, size = stage(seed, 0, action), 64
    camera, f = scene.at(u), focal(scene.shot, 64)
    frame = render(scene.world, camera, size, f)
    y, x = (a.ravel() + 0.5 for a in np.mgrid[:size, :size].astype(float))
    local = rays(x, y, size, f)
    geom, distance = oracle(scene.world, camera.origin, local @ camera.rotation)
    same = geom == frame.geom.ravel()
    assert same.mean() > 0.999
    error = np.abs(distance * local[:, 2] - frame.depth.ravel())[same]
    assert np.median(error) < 1e-4
    assert error.max() < 1e-3
    normal = frame.normal.reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)
    assert (dot(normal, local) < 0).all()
    assert (frame.geom >= 0).all()
    assert len(np.unique(scene.world.segment[frame.geom])) >= 6


def test_normals_are_those_of_the_depth():
    """On the floor, seen in camera axes, the cross product of neighbouring points is the normal."""
    sample = draw("k", 0, 0, "jump", "clean", 1, 64)
    depth, normal = plain(sample.labels["depth"])[0], plain(sample.labels["normal"])[0]
    floor = plain(sample.labels["segmentation"])[0] == SEGMENTS.index("floor")
    f = plain(sample.labels["camera"])[0][0, 0]
    y, x = np.mgrid[:64, :64] + 0.5
    points = np.stack([(x - 32) / f * depth, (y - 32) / f * depth, depth], -1)
    found = np.cross(points[1:, :-1] - points[:-1, :-1], points[:-1, 1:] - points[:-1, :-1])
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    inner = floor[1:, :-1] & floor[:-1, 1:] & floor[:-1, :-1]
    assert inner.sum() > 200
    cosine = dot(found, normal[:-1, :-1])[inner]
    assert np.median(cosine) > 0.9999


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [draw("k", 5, i, action, "clean", 4, 64) for i, action in enumerate(ACTIONS)]


def test_pose_projects_to_the_points_and_most_are_seen(samples):
    shown = 0.0
    for s in samples:
        pose, points, k = (plain(s.labels[n]) for n in ("pose3d", "joints2d", "camera"))
        flat = np.einsum("tij,tnj->tni", k, pose)
        flat = flat[..., :2] / flat[..., 2:]
        seen = np.isfinite(points)
        np.testing.assert_allclose(flat[seen], points[seen], atol=1e-3)
        shown += seen.mean()
    assert shown / len(samples) > 0.6


def test_visible_joints_lie_in_the_body_and_hidden_ones_behind_something(samples):
    for s in samples:
        pose, points, depth = (plain(s.labels[n]) for n in ("pose3d", "joints2d", "depth"))
        for t, j in np.argwhere(np.isfinite(points[..., 0])):
            x, y = points[t, j].astype(int)
            patch = depth[t, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            assert patch.max() > pose[t, j, 2] - 0.25


def test_boxes_are_the_extents_of_the_instances():
    scene, size = stage(5, 8, "pick_up"), 64
    sample = draw("k", 5, 8, "pick_up", "clean", 3, size)
    boxes = plain(sample.labels["boxes"])
    assert boxes.shape == (3, SLOTS, 4)
    for t, u in enumerate((0, 0.5, 1)):
        frame = render(scene.world, scene.at(u), size, focal(scene.shot, size))
        instances = scene.world.instance[frame.geom]
        expected = []
        for instance in np.unique(instances[instances != ROOM]):
            y, x = np.nonzero(instances == instance)
            expected.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
        found = boxes[t][np.isfinite(boxes[t, :, 0])]
        assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, np.array(expected, float).tolist()))
        person = np.nonzero(instances == 1)
        assert boxes[t, 0].tolist() == [person[1].min(), person[0].min(), person[1].max() + 1, person[0].max() + 1]


def test_other_objects_come_nearest_first():
    for i in range(8):
        scene = stage(1, i, "jump")
        sample = draw("k", 1, i, "jump", "clean", 3, 64)
        depth, boxes = plain(sample.labels["depth"])[1], plain(sample.labels["boxes"])[1, 1:]
        origin = scene.at(0.5).origin
        far = sorted(np.hypot(*(np.array(t.spot) - origin[:2])) for t in scene.plan.things)
        assert len(far) <= SLOTS - 1
        for distance, box in zip(far, boxes, strict=False):
            if np.isfinite(box).all():
                x0, y0, x1, y1 = box.astype(int)
                assert depth[y0:y1, x0:x1].min() < distance + 0.6


def test_labels_fit_their_forms(samples):
    for s in samples:
        labels = {n: plain(v) for n, v in s.labels.items()}
        assert s.clip.video.shape == (4, 64, 64, 3)
        assert s.clip.video.dtype == np.uint8
        assert labels["depth"].dtype == labels["normal"].dtype == labels["pose3d"].dtype == np.float32
        assert labels["segmentation"].dtype == np.uint8
        assert labels["segmentation"].max() < len(SEGMENTS)
        assert np.isfinite(labels["depth"]).all()
        assert labels["pose3d"].shape == (4, 25, 3)
        assert s.labels["pose3d"].swap == s.labels["joints2d"].swap == SWAP
        assert not s.flip_sensitive


def test_a_person_is_nearly_always_whole_in_the_picture():
    inside = []
    for action in ACTIONS:
        for i in range(6):
            scene = stage(11, i, action)
            limit = np.tan(scene.shot.fov / 2)
            for u in np.linspace(0, 1, 16):
                joints = scene.at(u).camera(scene.world.joints())
                inside.append((np.abs(joints[:, :2]) < limit * joints[:, 2:]).all())
    assert np.mean(inside) > 0.99


def test_neither_look_nor_size_nor_frame_count_moves_anything():
    base = draw("k", 3, 4, "push", "clean", 3, 36)
    worn = draw("k", 3, 4, "push", "worn", 3, 36)
    fine = draw("k", 3, 4, "push", "clean", 3, 108)
    for name in base.labels:
        np.testing.assert_array_equal(plain(base.labels[name]), plain(worn.labels[name]))
    assert np.abs(base.clip.video.astype(int) - worn.clip.video).mean() > 15
    np.testing.assert_array_equal(plain(base.labels["pose3d"]), plain(fine.labels["pose3d"]))
    np.testing.assert_allclose(
        plain(base.labels["joints2d"]) * 3, plain(fine.labels["joints2d"]), atol=1e-3, equal_nan=True
    )
    # The middle of a coarse pixel is the middle of the middle one of the 3 x 3 fine ones that cover it.
    common = plain(fine.labels["depth"])[:, 1::3, 1::3]
    np.testing.assert_allclose(plain(base.labels["depth"]), common, rtol=1e-5)
    more = draw("k", 3, 4, "push", "clean", 5, 36)
    np.testing.assert_array_equal(plain(base.labels["depth"]), plain(more.labels["depth"])[::2])


def colourfulness(video: np.ndarray) -> float:
    """How far apart red, green and blue are in patches of 8 x 8 pixels, where noise cancels, per brightness."""
    t, h, w, _ = video.shape
    patches = video.reshape(t, h // 8, 8, w // 8, 8, 3).mean((2, 4))
    return float(np.ptp(patches, axis=-1).mean() / patches.mean())


def test_worn_is_dimmer_and_paler_but_not_lost(samples):
    pairs = []
    for i, clean in enumerate(samples[:6]):
        worn = draw("k", 5, i, str(clean.labels["action"]), "worn", 4, 64).clip.video.astype(float)
        bright = clean.clip.video.astype(float)
        assert 40 < worn.mean() < bright.mean()
        assert np.corrcoef(worn.mean(-1).ravel(), bright.mean(-1).ravel())[0, 1] > 0.6
        pairs.append((colourfulness(worn), colourfulness(bright)))
    worn, bright = np.mean(pairs, axis=0)
    assert worn < 0.6 * bright


HASH = """
import hashlib
from taskprompt.core.types import plain
from taskprompt.sources._scenes.draw import draw
import numpy as np
h = hashlib.sha256()
for i, a in enumerate(("run", "drop")):
    s = draw("k", 9, i, a, "worn", 3, 48)
    h.update(s.clip.video.tobytes())
    for n, v in sorted(s.labels.items()):
        v = plain(v)
        h.update(v.tobytes() if isinstance(v, np.ndarray) else str(v).encode())
print(h.hexdigest())
"""


@pytest.mark.slow
def test_another_process_draws_the_same_bytes():
    other = subprocess.run([sys.executable, "-c", HASH], capture_output=True, text=True, check=True).stdout.strip()
    h = hashlib.sha256()
    for i, action in reversed(list(enumerate(("run", "drop")))):
        draw("k", 9, i, action, "clean", 2, 48)  # what was drawn before changes nothing
    for i, action in enumerate(("run", "drop")):
        sample = draw("k", 9, i, action, "worn", 3, 48)
        h.update(sample.clip.video.tobytes())
        for _, label in sorted(sample.labels.items()):
            value = plain(label)
            h.update(value.tobytes() if isinstance(value, np.ndarray) else str(value).encode())
    assert other == h.hexdigest()
