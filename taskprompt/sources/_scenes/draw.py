"""Rendering of a scene as a Sample: pixels and all labels."""

from typing import NamedTuple

import numpy as np

from taskprompt.core.types import Boxes, Camera, Clip, Joints, Map, Points, Sample, Vectors
from taskprompt.sources._scenes.body import JOINTS, SWAP
from taskprompt.sources._scenes.camera import Shot, View, choose_shot, focal, view
from taskprompt.sources._scenes.handling import SECONDS
from taskprompt.sources._scenes.looks import Look, develop
from taskprompt.sources._scenes.plan import Plan, plan_scene
from taskprompt.sources._scenes.render import Frame, cast, render, visible
from taskprompt.sources._scenes.words import sentences
from taskprompt.sources._scenes.world import OTHERS, PERSON, TABLE, TARGET, World

SLOTS = 8  # boxes per frame
_DEEP = 0.17  # metres: largest depth of a joint below the skin
_HEAD_TOP = 0.16  # metres above the joint Head, at scale 1


class Stage(NamedTuple):
    """A scene, ready to be rendered."""

    plan: Plan
    world: World
    shot: Shot

    def at(self, u: float) -> View:
        """Pose the world at the phase u in 0..1; returns the camera there."""
        self.world.pose(u)
        return view(self.shot, u, self.world.joints()[0])


def stage(seed: int, index: int, action: str) -> Stage:
    """The scene for (seed, index, action)."""
    plan = plan_scene(seed, index, action)
    world = World(plan)
    return Stage(plan, world, choose_shot(plan, _path(world)))


def draw(key: str, seed: int, index: int, action: str, look: Look, frames: int, size: int) -> Sample:
    """The scene (seed, index, action) in `frames` frames of size x size pixels, spread over all of it.

    The look affects only the pixels; neither it nor the size affects the geometry."""
    scene = stage(seed, index, action)
    plan, world = scene.plan, scene.world
    f = focal(scene.shot, size)
    phases = np.linspace(0, 1, frames) if frames > 1 else np.array([0.5])
    shown = _shown(scene, phases)
    slots = _slots(scene)
    video, parts = [], []
    for i, u in enumerate(phases):
        camera = scene.at(u)
        frame = render(world, camera, size, f)
        video.append(develop(frame.light, look, plan.rng(3), plan.rng(4, i)))
        parts.append(_labels(world, camera, frame, slots, f))
    depth, normal, segmentation, boxes, pose3d, joints2d = (np.stack(p) for p in zip(*parts, strict=True))
    intrinsics = np.array([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1]], np.float32)
    labels = {
        "action": action,
        "depth": Map(depth),
        "normal": Vectors(normal),
        "segmentation": Map(segmentation),
        "boxes": Boxes(boxes),
        "pose3d": Joints(pose3d, SWAP),
        "joints2d": Points(joints2d, SWAP),
        "camera": Camera(np.tile(intrinsics, (frames, 1, 1))),
        **sentences(plan, shown),
    }
    return Sample(key, Clip(np.stack(video), phases * SECONDS), labels)


def _path(world: World) -> np.ndarray:
    """k p 3: points that must be in the image, at k phases: the joints, the top of the head, a handled object."""
    points = []
    for u in np.linspace(0, 1, 13):
        world.pose(u)
        joints, target = world.joints(), world.target()
        neck, head = joints[JOINTS.index("Neck")], joints[JOINTS.index("Head")]
        top = head + (head - neck) / np.linalg.norm(head - neck) * _HEAD_TOP * world.plan.person.scale
        points.append(np.vstack([joints, top, *([] if target is None else [target])]))
    return np.stack(points)


def _shown(scene: Stage, phases: np.ndarray) -> set[int]:
    """The plan.things whose centre is visible in the first or the last frame."""
    centres = np.array([(*t.spot, t.half) for t in scene.plan.things]).reshape(-1, 3)
    found: set[int] = set()
    for u in (phases[0], phases[-1]) if len(centres) else ():
        camera = scene.at(u)
        inside = _inside(camera.camera(centres), focal(scene.shot, 1), 1)
        way = centres - camera.origin
        hit = cast(scene.world, camera.origin, way / np.linalg.norm(way, axis=1, keepdims=True))[0]
        first = scene.world.instance[hit] == OTHERS + np.arange(len(centres))
        found |= set(np.flatnonzero(inside & first).tolist())
    return found


def _inside(points: np.ndarray, f: float, size: int) -> np.ndarray:
    """p 3 camera metres -> p bool: in front of the camera and inside the image."""
    limit = points[:, 2] * size / 2 / f
    return (points[:, 2] > 0) & (np.abs(points[:, 0]) < limit) & (np.abs(points[:, 1]) < limit)


def _slots(scene: Stage) -> list[int]:
    """The instance of each box slot: person, table, handled object, then the others, nearest at mid-scene first."""
    origin = scene.at(0.5).origin
    things = scene.plan.things
    near = sorted(range(len(things)), key=lambda i: float(np.hypot(*(np.array(things[i].spot) - origin[:2]))))
    handled = [TABLE, TARGET] if scene.plan.table is not None else []
    return [PERSON, *handled, *(OTHERS + i for i in near)][:SLOTS]


def _labels(world: World, camera: View, frame: Frame, slots: list[int], f: float) -> tuple[np.ndarray, ...]:
    """depth, normal, segmentation, boxes, pose3d and joints2d of one frame."""
    size = len(frame.depth)
    joints = world.joints()
    seen = camera.camera(joints)
    flat = seen[:, :2] / seen[:, 2:] * f + size / 2
    flat[~(_inside(seen, f, size) & visible(world, camera, joints, _DEEP * world.plan.person.scale))] = np.nan
    boxes = _boxes(world.instance[frame.geom], slots)
    segments = world.segment[frame.geom]
    return frame.depth, frame.normal, segments, boxes, seen.astype(np.float32), flat.astype(np.float32)


def _boxes(instances: np.ndarray, slots: list[int]) -> np.ndarray:
    """h w -> SLOTS 4: x0 y0 x1 y1 in pixels around each instance of `slots`, NaN if it is not visible."""
    boxes = np.full((SLOTS, 4), np.nan, np.float32)
    for slot, instance in enumerate(slots):
        mask = instances == instance
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            boxes[slot] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
