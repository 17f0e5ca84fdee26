"""The plan of a scene, sampled from its seed: the parameters of the world and of the captions."""

from collections.abc import Collection
from dataclasses import dataclass
from math import cos, hypot, pi, sin

import numpy as np

from taskprompt.sources._scenes.handling import HANDLING, Setting
from taskprompt.sources._scenes.textures import COLORS, HAIR, PATTERNS, Paint

ACTIONS = ("walk", "run", "jump", "kick", "wave", "punch", "cartwheel", "squat", "pick_up", "push", "drop")
SHAPES = ("box", "ball", "cylinder", "egg")


@dataclass(frozen=True, slots=True)
class Thing:
    """An object. Lengths in metres, world axes: x y on the floor, z up."""

    shape: str
    paint: Paint
    radius: float  # seen from above
    half: float  # half its height
    spot: tuple[float, float]  # x y of its centre; a handled one follows the hand instead
    turn: float  # about z, radians


@dataclass(frozen=True, slots=True)
class Person:
    scale: float  # of all lengths of the figure
    girth: float  # of the thickness of clothed limbs
    skin: tuple[float, float, float]  # linear RGB
    hair: Paint
    shirt: Paint
    trousers: Paint
    shoes: Paint
    side: int  # 1: acts with the left hand or foot, -1: with the right
    vigour: float  # 0.85..1.15: amplitude of the motion
    phase: float  # 0..1: where a cyclic motion starts
    heading: float  # radians from the world's x


@dataclass(frozen=True, slots=True)
class Room:
    half: tuple[float, float]  # half its length and width; the origin is the middle of the floor
    height: float
    floor: Paint
    wall: Paint


@dataclass(frozen=True, slots=True)
class Lamp:
    at: tuple[float, float, float]
    color: tuple[float, float, float]
    ambient: float
    exposure: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table top on one leg, centred at x = ahead, y = 0. Lengths in metres."""

    top: float  # height of its upper face
    ahead: float
    half: tuple[float, float, float]
    paint: Paint


@dataclass(frozen=True, slots=True)
class Plan:
    """One scene. `entropy` seeds later random choices: textures, camera, noise."""

    entropy: tuple[int, int]
    action: str
    person: Person
    room: Room
    lamp: Lamp
    table: Table | None  # where an object is handled
    target: Thing | None  # the object that is handled
    things: tuple[Thing, ...]  # the others

    def rng(self, *purpose: int) -> np.random.Generator:
        """A generator for one purpose, independent of earlier draws."""
        return np.random.default_rng((*self.entropy, *purpose))

    def setting(self) -> Setting:
        """The parameters of the paths of a handled object."""
        if self.table is None or self.target is None:
            raise ValueError(f"the action {self.action!r} handles no object; expected one of {', '.join(HANDLING)}.")
        p = self.person
        return Setting(p.scale, p.side, p.vigour, self.table.top, self.target.radius, self.target.half)


def plan_scene(seed: int, index: int, action: str) -> Plan:
    """The plan for (seed, index) with this action."""
    rng = np.random.default_rng((seed, index, 0))
    handled = action in HANDLING
    half = tuple(rng.uniform(2.9, 3.9, 2))
    room = Room(half, rng.uniform(2.5, 3.2), _paint(rng), _paint(rng))
    person = _person(rng, handled, room)
    x, y = rng.uniform(-0.5, 0.5, 2) * half
    lamp = Lamp(
        (x, y, room.height * rng.uniform(0.88, 0.97)),
        (1.0, rng.uniform(0.88, 1), rng.uniform(0.75, 1)),
        rng.uniform(0.3, 0.45),
        rng.uniform(0.95, 1.25),
    )
    table = target = None
    if handled:
        s = person.scale
        size = (0.24 * s, 0.44 * s, 0.03)
        table = Table(rng.uniform(0.8, 0.88) * s, 0.5 * s, size, Paint("brown", str(rng.choice(["plain", "striped"]))))
        shape, radius = str(rng.choice(["box", "cylinder"])), rng.uniform(0.065, 0.085) * s
        around = {"brown", person.shirt.color, person.trousers.color, room.floor.color, room.wall.color}
        target = Thing(
            shape,
            _paint(rng, around),
            radius,
            radius * (1.2 if shape == "cylinder" else 1),
            (0, 0),
            0,
        )
    things = _things(rng, room, person, count=int(rng.integers(2, 5 if handled else 6)), handled=handled)
    return Plan((seed, index), action, person, room, lamp, table, target, things)


def _paint(rng: np.random.Generator, but: Collection[str] = ()) -> Paint:
    return Paint(str(rng.choice([c for c in COLORS if c not in but])), str(rng.choice(PATTERNS)))


def _person(rng: np.random.Generator, handled: bool, room: Room) -> Person:
    """A person whose clothes differ in colour from the room."""
    tone, around = rng.uniform(0.18, 0.85), {room.wall.color, room.floor.color}
    return Person(
        scale=rng.uniform(0.88, 1.1),
        girth=rng.uniform(0.95, 1.35),
        skin=(0.95 * tone, 0.68 * tone, 0.52 * tone),
        hair=Paint(str(rng.choice(HAIR)), "mottled"),
        shirt=_paint(rng, around),
        trousers=_paint(rng, around),
        shoes=Paint(str(rng.choice(list(COLORS)))),
        side=int(rng.choice([-1, 1])),
        vigour=rng.uniform(0.85, 1.15),
        phase=rng.uniform(),
        heading=0.0 if handled else rng.uniform(-pi, pi),
    )


def _things(rng: np.random.Generator, room: Room, person: Person, count: int, handled: bool) -> tuple[Thing, ...]:
    """Objects on the floor that touch neither each other nor the walls nor the person's path."""
    along = np.array([cos(person.heading), sin(person.heading)])
    found: list[Thing] = []
    for _ in range(count):
        shape, paint, radius = str(rng.choice(SHAPES)), _paint(rng), rng.uniform(0.14, 0.32)
        half = radius * {"box": 1.0, "ball": 1.0, "cylinder": 1.2, "egg": 1.3}[shape]
        turn = rng.uniform(0, pi)
        for _ in range(60):
            x, y = rng.uniform(-1, 1, 2) * (np.array(room.half) - 0.5)
            ahead, aside = along @ (x, y), along @ (y, -x)
            way = hypot(max(0.0, abs(ahead) - 1.9), aside) if not handled else hypot(ahead - 0.3, aside)
            # a cartwheel moves sideways, so both axes of the person are kept free of objects
            across = hypot(max(0.0, abs(aside) - 1.3), ahead)
            apart = all(hypot(x - t.spot[0], y - t.spot[1]) > 1.5 * (radius + t.radius) for t in found)
            if apart and way > 0.9 + radius and across > 0.9 + radius:
                found.append(Thing(shape, paint, radius, half, (x, y), turn))
                break
    return tuple(found)
