"""A camera that drifts around the person and follows motion, chosen so that the whole action is visible."""

from math import atan2, cos, hypot, pi, radians, sin, tan
from typing import NamedTuple

import numpy as np

from taskprompt.sources._scenes.handling import HANDLING
from taskprompt.sources._scenes.plan import Plan

MARGIN = 0.06  # smallest distance of joints from the image border, relative to its size
# Largest angle between camera and the person's front, radians to either side; for other actions: any angle.
_AROUND = {"punch": (0.4, 1.8), "kick": (0.4, 2.6), "wave": (0.0, 2.2)}
# For actions with an object: the centre of the camera's range, towards the acting hand, and half the range.
_BEFORE = {"pick_up": (0.4, 0.9), "push": (-0.5, 0.7), "drop": (0.4, 0.9)}
_TRIES = 120


class Shot(NamedTuple):
    """Parameters of the camera. World axes, metres and radians."""

    azimuth: float  # of the camera, at the middle of the scene
    distance: float  # from `centre`, on the floor
    height: float
    drift: float  # change of the azimuth from the first to the last frame
    fov: float  # full field of view of the square image
    centre: np.ndarray  # the point that it looks at, at the middle of the scene
    follow: float  # share of the person's motion that it follows


class View(NamedTuple):
    """The camera at one phase."""

    rotation: np.ndarray  # 3 3: world -> camera axes, x right, y down, z forward
    origin: np.ndarray  # 3: metres

    def camera(self, points: np.ndarray) -> np.ndarray:
        """... 3 world metres -> ... 3 camera metres."""
        return (points - self.origin) @ self.rotation.T


def focal(shot: Shot, size: int) -> float:
    """Focal length in pixels, for an image of size x size."""
    return size / 2 / tan(shot.fov / 2)


def view(shot: Shot, u: float, pelvis: np.ndarray) -> View:
    """The camera at the phase u; `pelvis`: 3, the position of the person."""
    azimuth = shot.azimuth + shot.drift * (u - 0.5)
    origin = shot.centre + np.array([cos(azimuth) * shot.distance, sin(azimuth) * shot.distance, 0])
    origin[2] = shot.height
    aim = shot.centre.copy()
    aim[:2] += shot.follow * (pelvis[:2] - shot.centre[:2])
    forward = aim - origin
    forward /= np.linalg.norm(forward)
    right = np.array([forward[1], -forward[0], 0]) / hypot(forward[0], forward[1])
    return View(np.stack([right, np.cross(forward, right), forward]), origin)


def choose_shot(plan: Plan, points: np.ndarray) -> Shot:
    """The first random shot with all `points` in the image, or the one with most.

    points: k p 3 world metres at k phases from 0 to 1, which should be visible; the first of the p is the pelvis."""
    rng = plan.rng(2)
    best, most = None, -1.0
    farther = 0.0
    for _ in range(_TRIES):
        shot = _draw(plan, points, rng, farther)
        seen = _share_seen(plan, shot, points)
        if seen > most:
            best, most = shot, seen
        if seen == 1:
            break
        if seen > 0:
            farther += 0.05
    assert best is not None
    return best


def _draw(plan: Plan, points: np.ndarray, rng: np.random.Generator, farther: float) -> Shot:
    """A random shot, `farther` metres more distant than usual."""
    handled = plan.action in HANDLING
    if handled:
        middle, half = _BEFORE[plan.action]
        azimuth = middle * plan.person.side + rng.uniform(-half, half)
    else:
        azimuth = rng.choice([-1, 1]) * rng.uniform(*_AROUND.get(plan.action, (0.0, pi)))
    azimuth += plan.person.heading
    distance = rng.uniform(1.7, 2.3) + farther
    low, high = points.min((0, 1)), points.max((0, 1))
    centre = (low + high) / 2
    drift, fov = rng.uniform(-0.25, 0.25), radians(rng.uniform(48, 62))
    height = rng.uniform(1.3, 1.9) if handled else rng.uniform(0.7, 1.9)
    return Shot(azimuth, distance, height, drift, fov, centre, rng.uniform(0.5, 1.0))


def _share_seen(plan: Plan, shot: Shot, points: np.ndarray) -> float:
    """Share of the points inside the margin; 0 if a wall or an object blocks the view."""
    inside = 0.0
    limit = (1 - 2 * MARGIN) * tan(shot.fov / 2)
    for u, at in zip(np.linspace(0, 1, len(points)), points, strict=True):
        seen = view(shot, u, at[0])
        if np.any(np.abs(seen.origin[:2]) > np.array(plan.room.half) - 0.2):
            return 0.0
        if any(_blocks(thing, seen.origin, at[0]) for thing in plan.things):
            return 0.0
        x, y, z = seen.camera(at).T
        inside += np.mean((np.abs(x) < limit * z) & (np.abs(y) < limit * z) & (z > 0.3))
    return inside / len(points)


def _blocks(thing, origin: np.ndarray, pelvis: np.ndarray) -> bool:
    """Whether the object is near the line from the camera to the person, on the floor plan."""
    way = pelvis[:2] - origin[:2]
    offset = np.array(thing.spot) - origin[:2]
    length = hypot(way[0], way[1])
    along = offset @ way / length
    angle = abs(atan2(way[0] * offset[1] - way[1] * offset[0], way @ offset))
    if -thing.radius - 0.3 < along < 0.3 and hypot(*offset) < thing.radius + 0.4:
        return True  # the camera would be inside of it
    return bool(0 < along < length and hypot(*offset) * sin(min(angle, pi / 2)) < thing.radius + 0.25)
