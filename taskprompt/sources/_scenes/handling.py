"""The actions with an object: positions of object and hand at a phase u in 0..1.

Nothing is simulated: a held object follows a path, and a released one falls freely, so that the captions are true for
every clip. Person axes: x forward, y left, z up, metres; the person stands at the origin.
"""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np

from taskprompt.sources._scenes.actions import ramp

SECONDS = 1.6  # from the first to the last frame of every scene
GRAVITY = 9.81  # metres / second^2
RELEASE = 0.3  # phase at which a dropped object is released
BOUNCE = 0.25  # share of its speed that a dropped object keeps


class Grip(NamedTuple):
    """Object and hand at one phase."""

    thing: np.ndarray  # centre of the object
    hand: np.ndarray  # target of the middle of the hand
    grasp: float  # 0: the arm hangs, 1: the hand is at `hand`
    lean: float  # of the trunk, radians


class Setting(NamedTuple):
    """Parameters of the paths. Lengths in metres."""

    scale: float  # of the person
    side: int  # 1: left hand, -1: right hand
    vigour: float
    top: float  # of the table
    radius: float  # of the object, seen from above
    half: float  # its half height


def pick_up(u: float, s: Setting) -> Grip:
    """Reach, grip from above, lift by 0.28 m times the vigour."""
    up = 0.28 * s.vigour * s.scale * ramp(u, 0.36, 0.85)
    thing = np.array([0.4 * s.scale - 0.2 * up, s.side * 0.15 * s.scale, s.top + s.half + up])
    hand = thing + np.array([-0.02, 0, s.half + 0.01])
    return Grip(thing, hand, ramp(u, 0, 0.32), 0.3 * ramp(u, 0, 0.3) - 0.15 * ramp(u, 0.4, 0.9))


def push(u: float, s: Setting) -> Grip:
    """The hand, flat on the object's outer side, slides it towards the middle by 0.32 m times the vigour."""
    away = 0.3 - 0.32 * s.vigour * ramp(u, 0.3, 0.9)
    thing = np.array([0.38 * s.scale, s.side * away * s.scale, s.top + s.half])
    hand = thing + np.array([-0.01, s.side * (s.radius + 0.025), 0.01])
    return Grip(thing, hand, ramp(u, -0.1, 0.27), 0.3 * ramp(u, 0, 0.25))


def drop(u: float, s: Setting) -> Grip:
    """Held next to the table, released, falls to the floor and bounces once."""
    held = np.array([0.2 * s.scale, s.side * 0.58 * s.scale, 1.0 * s.scale])
    rise = s.half + 0.01 + 0.06 * ramp(u, RELEASE, RELEASE + 0.15)
    hand = held + np.array([-0.02, 0, rise])
    seconds = max(0.0, u - RELEASE) * SECONDS
    return Grip(np.array([held[0], held[1], _fall(held[2], s.half, seconds)]), hand, 1.0, 0.05)


def _fall(height: float, rest: float, seconds: float) -> float:
    """Height after falling from rest at `height`, with one bounce on the floor, where it lies at `rest`."""
    landing = sqrt(2 * (height - rest) / GRAVITY)
    if seconds <= landing:
        return height - GRAVITY / 2 * seconds**2
    speed, since = BOUNCE * GRAVITY * landing, seconds - landing
    return rest + max(0.0, speed * since - GRAVITY / 2 * since**2)


HANDLING: dict[str, Callable[[float, Setting], Grip]] = {"pick_up": pick_up, "push": push, "drop": drop}
