"""A plan as a MuJoCo model, for kinematics and ray casting. Nothing is simulated."""

# MuJoCo takes its names from compiled modules, which a type checker cannot see into.
# pyright: reportAttributeAccessIssue=false

from math import acos, cos, pi, sin

import mujoco
import numpy as np

from taskprompt.sources._scenes.actions import MOTIONS, Pose, mirrored
from taskprompt.sources._scenes.body import BONES, FOREARM, JOINTS, RIGID, UPPER_ARM
from taskprompt.sources._scenes.handling import HANDLING
from taskprompt.sources._scenes.plan import Plan, Thing
from taskprompt.sources._scenes.textures import COLORS, FINEST, Paint, texture

SEGMENTS = ("floor", "wall", "ceiling", "table", "object", "skin", "hair", "shirt", "trousers", "shoes")
ROOM, PERSON, TABLE, TARGET, OTHERS = 0, 1, 2, 3, 4  # instances; further objects have 5, 6, ...
_GEOM = {
    "plane": mujoco.mjtGeom.mjGEOM_PLANE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "ball": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "egg": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}
_NO_TURN = (0.0, 0.0, 0.0)


class World:
    """One scene that can be posed at any phase. `model` and `data` are MuJoCo's.

    Per geom: `segment`, `instance`, `tile` (which of `tiles`, k h w 3, and of their `means`, k 3), `tile_size` and
    `finest` detail in metres, `gloss`."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._rng = plan.rng(1)
        self._tiles: list[np.ndarray] = []
        self._geoms: list[tuple] = []  # segment, instance, tile, tile size, finest, gloss
        spec = mujoco.MjSpec()
        spec.compiler.boundmass, spec.compiler.boundinertia = 0.01, 1e-4
        self._add_room(spec.worldbody)
        if plan.table is not None:
            self._add_table(spec.worldbody)
        if plan.target is not None:
            body = spec.worldbody.add_body(name="target", mocap=True)
            self._add_thing(body, plan.target, (0, 0, 0), TARGET)
        for i, thing in enumerate(plan.things):
            self._add_thing(spec.worldbody, thing, (*thing.spot, thing.half), OTHERS + i)
        self._add_person(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._index()

    def pose(self, u: float) -> None:
        """Move the figure and the object to the phase u in 0..1."""
        plan = self.plan
        if plan.action in MOTIONS:
            pose = MOTIONS[plan.action](u, plan.person.vigour, plan.person.phase)
            self._stand(mirrored(pose) if plan.person.side > 0 else pose)
            return
        grip = HANDLING[plan.action](u, plan.setting())
        self.data.mocap_pos[0] = grip.thing
        self._stand(Pose(lean=grip.lean))
        self._reach("Left" if plan.person.side > 0 else "Right", grip.hand, grip.grasp)

    def joints(self) -> np.ndarray:
        """25 3: KinectV2 joints in world metres."""
        return self.data.xpos[self._joint_bodies].copy()

    def target(self) -> np.ndarray | None:
        """3: centre of the handled object in world metres; None if there is none."""
        return None if self.plan.target is None else self.data.mocap_pos[0].copy()

    def _paint(self, paint: Paint, gloss: float, tile_size: float) -> tuple:
        self._tiles.append(texture(self._rng, COLORS[paint.color], paint.pattern))
        return len(self._tiles) - 1, tile_size, tile_size * FINEST[paint.pattern], gloss

    def _add(self, body, segment: str, instance: int, look: tuple, shape: str, size, **where) -> None:
        full = np.zeros(3)
        full[: len(size)] = size
        body.add_geom(type=_GEOM[shape], size=full, **where)
        self._geoms.append((body, SEGMENTS.index(segment), instance, *look))

    def _add_room(self, body) -> None:
        room = self.plan.room
        (x, y), z = room.half, room.height
        floor, wall = self._paint(room.floor, 0.1, 1.6), self._paint(room.wall, 0.0, 1.6)
        ceiling = self._paint(Paint("white"), 0.0, 1.6)
        planes = [("floor", floor, (0, 0, 0), (0, 0, 1)), ("ceiling", ceiling, (0, 0, z), (0, 0, -1))]
        planes += [("wall", wall, (s * x, 0, 0), (-s, 0, 0)) for s in (1, -1)]
        planes += [("wall", wall, (0, s * y, 0), (0, -s, 0)) for s in (1, -1)]
        for segment, look, at, normal in planes:
            quat = np.zeros(4)
            mujoco.mju_quatZ2Vec(quat, np.array(normal, float))
            self._add(body, segment, ROOM, look, "plane", (0, 0, 1), pos=at, quat=quat)

    def _add_table(self, body) -> None:
        table = self.plan.table
        assert table is not None
        at = (table.ahead, 0, table.top - table.half[2])
        look = self._paint(table.paint, 0.2, 0.8)
        self._add(body, "table", TABLE, look, "box", table.half, pos=at)
        below = at[2] - table.half[2]
        self._add(body, "table", TABLE, look, "box", (0.05, 0.05, below / 2), pos=(table.ahead, 0, below / 2))

    def _add_thing(self, body, thing: Thing, at, instance: int) -> None:
        r, h = thing.radius, thing.half
        size = {"box": (r, r, h), "ball": (r,), "cylinder": (r, h), "egg": (r, r, h)}[thing.shape]
        quat = (cos(thing.turn / 2), 0, 0, sin(thing.turn / 2))
        self._add(body, "object", instance, self._paint(thing.paint, 0.35, 4 * r), thing.shape, size, pos=at, quat=quat)

    def _add_person(self, spec) -> None:
        p = self.plan.person
        looks = {n: self._paint(getattr(p, n), 0.05, 0.4 * p.scale) for n in ("hair", "shirt", "trousers", "shoes")}
        self._tiles.append(texture(self._rng, p.skin, "plain"))
        looks["skin"] = (len(self._tiles) - 1, 0.4, 0.05, 0.1)
        bodies = {}
        for bone in BONES:
            parent = bodies[bone.parent] if bone.parent else spec.worldbody
            body = bodies[bone.joint] = parent.add_body(name=bone.joint, pos=np.array(bone.offset) * p.scale)
            if bone.parent is None:
                body.add_freejoint(name=bone.joint)
            elif not bone.joint.startswith(RIGID):
                body.add_joint(name=bone.joint, type=mujoco.mjtJoint.mjJNT_BALL)
            for solid in bone.solids:
                size = np.array(solid.size) * p.scale
                thick = p.girth if solid.stuff in ("shirt", "trousers") else 1.0
                if solid.shape == "capsule":
                    where, size = {"fromto": size[:6]}, size[6:] * thick
                else:
                    where, size = {"pos": np.array(solid.at) * p.scale}, size * thick
                self._add(body, solid.stuff, PERSON, looks[solid.stuff], solid.shape, size, **where)

    def _index(self) -> None:
        """Sort the attributes of geoms by body, as MuJoCo does."""
        order = sorted(range(len(self._geoms)), key=lambda i: self._geoms[i][0].id)
        columns = list(zip(*(self._geoms[i][1:] for i in order), strict=True))
        self.segment, self.instance = (np.array(c, np.uint8) for c in columns[:2])
        self.tile = np.array(columns[2])
        self.tile_size, self.finest, self.gloss = (np.array(c, np.float32) for c in columns[3:])
        self.tiles = np.stack(self._tiles)
        self.means = self.tiles.mean((1, 2))
        self._joint_bodies = np.array([self.model.body(j).id for j in JOINTS])
        self._address = {b.joint: self.model.joint(b.joint).qposadr[0] for b in BONES if not b.joint.startswith(RIGID)}
        self._root = self._address.pop("SpineBase")
        geoms = np.flatnonzero(self.instance == PERSON)
        size = self.model.geom_size[geoms]
        capsule = self.model.geom_type[geoms] == _GEOM["capsule"]
        self._solids = (
            geoms,
            np.where(capsule[:, None], 0.0, size),
            np.where(capsule, size[:, 1], 0),
            size[:, 0] * capsule,
        )

    def _stand(self, pose: Pose) -> None:
        """Set every joint, then place the lowest point of the figure on the floor, or `lift` above it."""
        p, qpos = self.plan.person, self.data.qpos
        for joint, at in self._address.items():
            flex, spread, twist = pose.angles.get(joint, _NO_TURN)
            if joint.startswith("Hip"):
                flex += pose.lean
            qpos[at : at + 4] = _quat(flex, spread, twist)
        c, s, at = cos(p.heading), sin(p.heading), self._root
        turned, leant = np.zeros(4), np.zeros(4)
        mujoco.mju_euler2Quat(turned, np.array([p.heading, pose.roll, 0]), "zxy")
        mujoco.mju_mulQuat(leant, turned, _quat(-pose.lean, 0, 0))
        qpos[at + 3 : at + 7] = leant
        ahead, aside = pose.ahead * p.scale, pose.aside * p.scale
        qpos[at : at + 3] = c * ahead - s * aside, s * ahead + c * aside, 0
        mujoco.mj_kinematics(self.model, self.data)
        geoms, axes, length, radius = self._solids
        up = self.data.geom_xmat[geoms].reshape(-1, 3, 3)[:, 2]
        below = np.sqrt(((up * axes) ** 2).sum(1)) + np.abs(up[:, 2]) * length + radius
        qpos[at + 2] = pose.lift * p.scale - (self.data.geom_xpos[geoms, 2] - below).min()
        mujoco.mj_kinematics(self.model, self.data)

    def _reach(self, side: str, goal: np.ndarray, grasp: float) -> None:
        """Two-bone inverse kinematics: the middle of the hand moves by the share `grasp` from hanging to `goal`."""
        d, a, b = self.data, UPPER_ARM * self.plan.person.scale, FOREARM * self.plan.person.scale
        trunk = d.body("SpineShoulder").xmat.reshape(3, 3)
        goal = trunk.T @ (goal - d.body(f"Shoulder{side}").xpos)
        goal = grasp * goal + (1 - grasp) * np.array([0.06, 0, -0.985]) * (a + b)
        reach = min(float(np.linalg.norm(goal)), 0.999 * (a + b))
        bend = pi - acos((a * a + b * b - reach * reach) / (2 * a * b))
        start = np.array([b * sin(bend), 0, -a - b * cos(bend)])  # the hand with this elbow and a hanging upper arm
        start, goal = start / np.linalg.norm(start), goal / np.linalg.norm(goal)
        quat = np.concatenate([[1 + start @ goal], np.cross(start, goal)])
        at, elbow = self._address[f"Shoulder{side}"], self._address[f"Elbow{side}"]
        d.qpos[at : at + 4] = quat / np.linalg.norm(quat)
        d.qpos[elbow : elbow + 4] = _quat(bend, 0, 0)
        mujoco.mj_kinematics(self.model, d)


def _quat(flex: float, spread: float, twist: float) -> np.ndarray:
    quat = np.zeros(4)
    mujoco.mju_euler2Quat(quat, np.array([twist, spread, -flex]), "zxy")
    return quat
