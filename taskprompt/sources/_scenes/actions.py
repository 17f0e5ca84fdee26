"""Procedural motion: the pose of the figure at a phase u in 0..1 of each action that needs no object.

Angles are radians: flex swings a hanging limb forward, spread swings it to the left, twist turns it about itself.
Written for a right hand and foot; `mirrored` gives the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import cos, pi, sin

from taskprompt.sources._scenes.body import LEG

Angles = dict[str, tuple[float, float, float]]  # joint -> flex, spread, twist, in radians


@dataclass(frozen=True, slots=True)
class Pose:
    """Joint angles, and the position of the whole figure. Lengths are metres at scale 1."""

    angles: Angles = field(default_factory=dict)
    ahead: float = 0.0  # of the start, along the heading
    aside: float = 0.0  # to the left of the heading
    lift: float = 0.0  # of the lowest point above the floor
    roll: float = 0.0  # about the heading, radians
    lean: float = 0.0  # of the trunk, forward, with upright legs, radians


def ramp(u: float, start: float, end: float) -> float:
    """0 before `start`, 1 after `end`, smooth between."""
    x = min(max((u - start) / (end - start), 0.0), 1.0)
    return x * x * (3 - 2 * x)


def bump(u: float, start: float = 0.0, end: float = 1.0) -> float:
    """0 outside `start`..`end`, 1 in the middle, smooth between."""
    return sin(pi * min(max((u - start) / (end - start), 0.0), 1.0)) ** 2


def mirrored(pose: Pose) -> Pose:
    """The same pose with left and right exchanged."""
    other = {"Left": "Right", "Right": "Left"}
    angles = {}
    for joint, (flex, spread, twist) in pose.angles.items():
        for a, b in other.items():
            if joint.endswith(a):
                joint = joint.removesuffix(a) + b
                break
        angles[joint] = (flex, -spread, -twist)
    return replace(pose, angles=angles, aside=-pose.aside, roll=-pose.roll)


def _gait(
    turn: float, hip: float, knee: float, arm: float, elbow: float, lean: float, travel: float, lift: float = 0.0
) -> Pose:
    """Legs and arms in opposition at the angle `turn` of the cycle."""
    angles: Angles = {}
    for side, y in (("Left", 1), ("Right", -1)):
        angles[f"Hip{side}"] = (y * hip * sin(turn), 0, 0)
        angles[f"Knee{side}"] = (-knee * max(0.0, y * cos(turn)) - 0.08, 0, 0)  # bent while it swings forward
        angles[f"Shoulder{side}"] = (-y * arm * sin(turn), 0.08 * y, 0)
        angles[f"Elbow{side}"] = (elbow, 0, 0)
    return Pose(angles, ahead=travel, lift=lift * abs(sin(turn)), lean=lean)


def walk(u: float, vigour: float, phase: float) -> Pose:
    """1.3 cycles of the legs; the distance matches the strides."""
    hip = 0.42 * vigour
    travel = 1.3 * 4 * LEG * sin(hip) * (u - 0.5) * 0.85
    return _gait(2 * pi * (1.3 * u + phase), hip, 0.85, 0.5 * vigour, 0.2, 0.03, travel)


def run(u: float, vigour: float, phase: float) -> Pose:
    """2 strides with a flight after each push; bent knees and elbows, trunk forward."""
    hip = 0.8 * vigour
    travel = (2.9 + 0.5 * vigour) * (u - 0.5)
    return _gait(2 * pi * (2 * u + phase), hip, 1.7, 0.9 * vigour, 1.45, 0.22, travel, lift=0.07)


def _crouch(depth: float) -> tuple[Angles, float]:
    """Bent hips, knees and ankles, feet flat; depth 0..1 -> angles, lean."""
    angles: Angles = {}
    for side in ("Left", "Right"):
        angles[f"Hip{side}"] = (1.2 * depth, 0, 0)
        angles[f"Knee{side}"] = (-2.15 * depth, 0, 0)
        angles[f"Ankle{side}"] = (0.95 * depth, 0, 0)
    return angles, 0.7 * depth


def jump(u: float, vigour: float, phase: float) -> Pose:
    """Crouch, a flight along a parabola with raised arms, and a soft landing."""
    angles, lean = _crouch(0.6 * bump(u, 0, 0.44) + 0.5 * bump(u, 0.68, 1))
    for side, y in (("Left", 1), ("Right", -1)):
        angles[f"Shoulder{side}"] = (-0.6 * bump(u, 0, 0.4) + 2.7 * bump(u, 0.26, 0.86), 0.2 * y, 0)
    x = min(max((u - 0.34) / 0.4, 0.0), 1.0)
    return Pose(angles, lift=0.45 * vigour * 4 * x * (1 - x), lean=lean)


def kick(u: float, vigour: float, phase: float) -> Pose:
    """One straight leg swings back, then up in front; the other foot stays on the floor."""
    up = bump(u, 0.3, 0.85)
    angles: Angles = {
        "HipRight": (-0.55 * bump(u, 0, 0.42) + 1.55 * vigour * up, 0, 0),
        "KneeRight": (-1.3 * bump(u, 0.05, 0.5), 0, 0),
        "HipLeft": (0.05, 0, 0),
        "ShoulderLeft": (0.9 * up, 0.45, 0),
        "ShoulderRight": (-0.6 * up, -0.45, 0),
        "ElbowLeft": (0.8, 0, 0),
        "ElbowRight": (0.6, 0, 0),
    }
    return Pose(angles, lean=-0.25 * up)


def wave(u: float, vigour: float, phase: float) -> Pose:
    """One forearm points up beside the head and swings to and fro twice."""
    up = ramp(u, -0.25, 0.15)
    swing = 0.7 * vigour * sin(2 * pi * (2 * u + phase))
    angles: Angles = {
        "ShoulderRight": (0.25 * up, -1.75 * up, 0),
        "ElbowRight": (0, (-1.3 + swing) * up, 0),
        "ShoulderLeft": (0, 0.1, 0),
        "ElbowLeft": (0.15, 0, 0),
    }
    return Pose(angles)


def punch(u: float, vigour: float, phase: float) -> Pose:
    """Three straight punches, the hands in turn, from a guard with one foot ahead."""
    right, left = bump(u, 0.02, 0.36) + bump(u, 0.64, 0.98), bump(u, 0.33, 0.67)
    angles: Angles = {
        "HipLeft": (0.35, 0, 0),
        "KneeLeft": (-0.4, 0, 0),
        "HipRight": (-0.2, 0, 0),
        "KneeRight": (-0.2, 0, 0),
        "SpineMid": (0, 0, 0.35 * vigour * (right - left)),
    }
    for side, out in (("Left", left), ("Right", right)):
        angles[f"Shoulder{side}"] = (0.5 + 1.0 * out, 0, 0)
        angles[f"Elbow{side}"] = (2.2 - 1.9 * vigour * out, 0, 0)
    return Pose(angles, lean=0.08)


def cartwheel(u: float, vigour: float, phase: float) -> Pose:
    """One full turn about the heading, sideways, arms and legs spread."""
    spread = 0.55
    angles: Angles = {}
    for side, y in (("Left", 1), ("Right", -1)):
        angles[f"Shoulder{side}"] = (0, 2.6 * y, 0)
        angles[f"Hip{side}"] = (0, spread * y, 0)
    return Pose(angles, aside=-2.4 * vigour * (u - 0.5), roll=2 * pi * u)


def squat(u: float, vigour: float, phase: float) -> Pose:
    """Down and up once, arms held forward."""
    down = bump(u)
    angles, lean = _crouch(vigour * 0.9 * down)
    for side in ("Left", "Right"):
        angles[f"Shoulder{side}"] = (1.4 * down + lean, 0, 0)
    return Pose(angles, lean=lean)


MOTIONS: dict[str, Callable[[float, float, float], Pose]] = {
    "walk": walk,
    "run": run,
    "jump": jump,
    "kick": kick,
    "wave": wave,
    "punch": punch,
    "cartwheel": cartwheel,
    "squat": squat,
}  # u 0..1, vigour about 1, phase 0..1 of a cycle -> Pose
