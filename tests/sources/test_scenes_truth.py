"""What the verbs and sentences say happens in the scene's own numbers, over 30 seeds."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from taskprompt.sources._scenes.actions import MOTIONS, mirrored
from taskprompt.sources._scenes.body import JOINTS
from taskprompt.sources._scenes.draw import _shown, stage
from taskprompt.sources._scenes.handling import HANDLING
from taskprompt.sources._scenes.plan import ACTIONS, Plan, plan_scene
from taskprompt.sources._scenes.render import render
from taskprompt.sources._scenes.textures import COLORS
from taskprompt.sources._scenes.words import CATEGORY, COMPONENTS, DETAIL, sentences
from taskprompt.sources._scenes.world import OTHERS, PERSON, SEGMENTS, World

SEEDS = range(30)
FEW = np.linspace(0, 1, 8)  # a verb must be true in the fewest frames that a recipe is likely to ask for


class Track:
    """Joints and object of one scene at a few phases. World metres."""

    def __init__(self, action: str, seed: int):
        self.plan = plan_scene(seed, 3, action)
        self.world = World(self.plan)
        poses, self.target = [], []
        for u in FEW:
            self.world.pose(u)
            poses.append(self.world.joints())
            self.target.append(self.world.target())
        self.poses = np.stack(poses)
        self.forward = np.array([np.cos(self.plan.person.heading), np.sin(self.plan.person.heading), 0])
        self.acting, self.other = ("Left", "Right") if self.plan.person.side > 0 else ("Right", "Left")

    def __getitem__(self, joint: str) -> np.ndarray:
        return self.poses[:, JOINTS.index(joint)]

    def gap(self) -> np.ndarray:
        """Per frame: metres from the middle of the acting hand to the surface of the object."""
        target = self.plan.target
        assert target is not None
        offset = np.abs(self[f"Hand{self.acting}"] - np.stack(self.target))
        if target.shape == "cylinder":
            aside = np.maximum(np.hypot(offset[:, 0], offset[:, 1]) - target.radius, 0)
        else:
            aside = np.hypot(*np.maximum(offset[:, :2] - target.radius, 0).T)
        return np.hypot(aside, np.maximum(offset[:, 2] - target.half, 0))


def tracks(action: str) -> list[Track]:
    return [Track(action, seed) for seed in SEEDS]


def moved(points: np.ndarray) -> float:
    """t 3 -> how far from its start it ever is."""
    return float(np.linalg.norm(points - points[0], axis=1).max())


def travel(track: Track) -> float:
    return float(np.linalg.norm(track["SpineBase"][-1, :2] - track["SpineBase"][0, :2]))


def test_walk_moves_forward_slowly_with_legs_and_arms_in_opposition():
    for t in tracks("walk"):
        assert 1.0 < travel(t) < 2.4
        assert (t["SpineBase"][-1] - t["SpineBase"][0]) @ t.forward > 1.0
        legs = (t["AnkleLeft"] - t["AnkleRight"]) @ t.forward
        arms = (t["HandLeft"] - t["HandRight"]) @ t.forward
        assert legs.max() > 0.2
        assert legs.min() < -0.2
        assert np.corrcoef(legs, arms)[0, 1] < -0.5
        assert np.minimum(t["FootLeft"], t["FootRight"])[:, 2].max() < 0.13


def test_run_is_faster_than_walk_with_bent_elbows_and_a_forward_trunk():
    for slow, t in zip(tracks("walk"), tracks("run"), strict=True):
        assert travel(t) > 1.4 * travel(slow)
        assert np.all((t["SpineShoulder"] - t["SpineBase"]) @ t.forward > 0.05)
        for side in ("Left", "Right"):
            upper, lower = t[f"Elbow{side}"] - t[f"Shoulder{side}"], t[f"Wrist{side}"] - t[f"Elbow{side}"]
            cosine = (upper * lower).sum(1) / np.linalg.norm(upper, axis=1) / np.linalg.norm(lower, axis=1)
            assert np.all(np.arccos(cosine) > 1)
        assert np.abs((t["AnkleLeft"] - t["AnkleRight"]) @ t.forward).max() > 0.5


def test_jump_lifts_both_feet_after_a_crouch_with_raised_arms_and_lands():
    for t in tracks("jump"):
        lowest = np.minimum(t["FootLeft"], t["FootRight"])[:, 2]
        top = int(lowest.argmax())
        assert lowest[top] > 0.2
        assert t["SpineBase"][:top, 2].min() < t["SpineBase"][0, 2] - 0.08
        assert all(t[f"Hand{s}"][top, 2] > t[f"Shoulder{s}"][top, 2] for s in ("Left", "Right"))
        assert lowest[-1] < 0.06


def test_kick_raises_one_foot_forward_above_the_other_knee():
    for t in tracks("kick"):
        high = int(t[f"Foot{t.acting}"][:, 2].argmax())
        assert t[f"Foot{t.acting}"][high, 2] > t[f"Knee{t.other}"][high, 2]
        assert (t[f"Foot{t.acting}"][high] - t["SpineBase"][high]) @ t.forward > 0.4
        assert t[f"Foot{t.other}"][:, 2].max() < 0.1


def test_wave_swings_a_hand_above_the_shoulder():
    for t in tracks("wave"):
        hand, left = t[f"Hand{t.acting}"][2:], np.cross([0, 0, 1], t.forward)
        assert np.all(hand[:, 2] > t[f"Shoulder{t.acting}"][2:, 2] + 0.1)
        turns = np.diff(np.sign(np.diff(hand @ left)))
        assert np.count_nonzero(turns) >= 2
        assert np.ptp(hand @ left) > 0.2
        assert max(moved(t["FootLeft"]), moved(t["FootRight"])) < 0.02


def test_punch_thrusts_the_hands_forward_in_turn():
    for t in tracks("punch"):
        lead = (t[f"Hand{t.acting}"] - t[f"Hand{t.other}"]) @ t.forward
        signs = [s for s in np.sign(np.where(np.abs(lead) < 0.15, 0, lead)) if s]
        assert [s for i, s in enumerate(signs) if i == 0 or s != signs[i - 1]] == [1, -1, 1]
        for side in (t.acting, t.other):
            reach = (t[f"Hand{side}"] - t[f"Shoulder{side}"]) @ t.forward
            assert reach.max() > 0.4
            assert t[f"Hand{side}"][int(reach.argmax()), 2] > t["SpineMid"][int(reach.argmax()), 2]
        assert max(moved(t["FootLeft"]), moved(t["FootRight"])) < 0.02


def test_cartwheel_turns_over_sideways():
    for t in tracks("cartwheel"):
        low = (t["Head"] - t["SpineBase"])[:, 2]
        assert low[3:5].max() < -0.3
        assert min(low[0], low[-1]) > 0.3
        way = t["SpineBase"][-1] - t["SpineBase"][0]
        assert abs(way @ t.forward) < 0.1
        assert np.linalg.norm(way[:2]) > 1.5
        legs = np.linalg.norm(t["AnkleLeft"] - t["AnkleRight"], axis=1)
        assert legs.min() > 0.6


def test_squat_lowers_and_raises_the_hips_with_arms_forward():
    for t in tracks("squat"):
        hips = t["SpineBase"][:, 2]
        assert hips[0] - hips.min() > 0.25
        assert abs(hips[-1] - hips[0]) < 0.02
        low = int(hips.argmin())
        assert all((t[f"Hand{s}"] - t[f"Shoulder{s}"])[low] @ t.forward > 0.4 for s in ("Left", "Right"))
        assert max(t["FootLeft"][:, 2].max(), t["FootRight"][:, 2].max()) < 0.1


def test_picked_up_object_rises_from_the_table_in_the_hand():
    for t in tracks("pick_up"):
        height, table, thing = np.stack(t.target)[:, 2], t.plan.table, t.plan.target
        assert table
        assert thing
        assert height[0] == pytest.approx(table.top + thing.half)
        assert height[-1] - height[0] >= 0.2
        assert t.gap()[height > height[0] + 0.01].max() < 0.1
        assert t.gap()[0] > 0.1  # the hand comes to it


def test_pushed_object_slides_over_the_table_with_the_hand():
    for t in tracks("push"):
        at, table, thing = np.stack(t.target), t.plan.table, t.plan.target
        assert table
        assert thing
        assert moved(at) > 0.2
        assert np.ptp(at[:, 2]) < 1e-9
        assert at[0, 2] == pytest.approx(table.top + thing.half)
        assert np.all(np.abs(at[:, 1]) < table.half[1])
        moving = np.linalg.norm(at - at[0], axis=1) > 0.005
        assert moving.sum() >= 4
        assert t.gap()[moving].max() < 0.1


def test_dropped_object_leaves_the_hand_clears_the_table_and_ends_on_the_floor():
    for t in tracks("drop"):
        at, table, thing = np.stack(t.target), t.plan.table, t.plan.target
        assert table
        assert thing
        assert t.gap()[0] < 0.1
        assert at[-1, 2] == pytest.approx(thing.half, abs=0.005)
        assert at[0, 2] - at[-1, 2] > 0.5
        assert t.gap()[-1] > 0.5
        assert np.all(np.abs(at[:, 1]) - thing.radius > table.half[1])


def test_every_action_has_a_motion_and_words():
    assert sorted(ACTIONS) == sorted([*MOTIONS, *HANDLING])
    for words in (CATEGORY, COMPONENTS, DETAIL):
        assert sorted(words) == sorted(ACTIONS)


@pytest.mark.parametrize("action", [a for a in ACTIONS if a != "drop"])
def test_big_movements_are_bigger_than_small_ones(action):
    plan = plan_scene(0, 3, action)
    extents = []
    for vigour in (0.93, 1.06):
        world = World(replace(plan, person=replace(plan.person, vigour=vigour)))
        poses = []
        for u in np.linspace(0, 1, 33):
            world.pose(u)
            poses.append(world.joints())
        extents.append(np.linalg.norm(np.ptp(np.stack(poses), axis=0), axis=-1).max())
    assert extents[1] > extents[0] * 1.005


def test_mirrored_twice_is_the_same():
    for motion in MOTIONS.values():
        assert mirrored(mirrored(motion(0.3, 1.0, 0.2))) == motion(0.3, 1.0, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
def test_sentences_are_true(action):
    for seed in SEEDS:
        scene = stage(seed, 3, action)
        shown = _shown(scene, FEW)
        text = sentences(scene.plan, shown)
        assert len(set(text.values())) == 4
        assert not {"left", "right"} & {w.strip(".,") for s in text.values() for w in s.lower().split()}
        _check_detail(text["text_detail"], scene.plan, scene.world)
        _check_context(text["text_context"], scene.plan, shown)
        if seed < 6:
            _check_in_view(scene, shown)
        if scene.plan.target:
            assert f"the {scene.plan.target.shape} " in text["text_components"]


def _check_detail(text: str, plan: Plan, world: World) -> None:
    world.pose(0)
    head = JOINTS.index("Head")
    stature = 0.12 * plan.person.scale + world.joints()[head, 2]
    if plan.action in ("wave", "pick_up", "drop"):  # those that begin upright
        low, high = (1.8, 2.0) if "tall person" in text else (1.5, 1.7) if "short person" in text else (1.6, 1.9)
        assert low < stature < high
    for garment in ("hair", "shirt", "trousers", "shoes"):
        before = text.split(f" {garment}")[0].replace(",", "").split()[-2:]
        assert _color(world, np.flatnonzero(world.segment == SEGMENTS.index(garment))) in before
    if plan.target:
        named = text.split(f" {plan.target.shape} ")[0].split()[-2:]
        assert _color(world, np.flatnonzero(world.instance == 3)) in named


def _check_context(text: str, plan: Plan, shown: set[int]) -> None:
    assert f"{plan.room.wall} walls" in text
    assert f"{plan.room.floor} floor" in text
    assert ("table stands in front of the person" in text) == (plan.table is not None)
    assert ("Around the person" in text) == bool(shown)
    for name, count in Counter(f"{plan.things[i].paint} {plan.things[i].shape}" for i in shown).items():
        plural = name + ("es" if name.endswith("x") else "s")
        assert (f"{name}" if count == 1 else f"{('two', 'three', 'four', 'five')[count - 2]} {plural}") in text
    listed = text.split("Around the person")[-1] if shown else ""
    assert sum(listed.count(s) for s in ("box", "ball", "cylinder", "egg")) == len(
        {(plan.things[i].paint, plan.things[i].shape) for i in shown}
    )


def _check_in_view(scene, shown: set[int]) -> None:
    seen = set()
    for u in (0, 1):
        frame = render(scene.world, scene.at(u), 56, 28 / np.tan(scene.shot.fov / 2))
        seen |= set(np.unique(scene.world.instance[frame.geom]).tolist())
    assert {OTHERS + i for i in shown} <= seen
    assert PERSON in seen


def _color(world: World, geoms: np.ndarray) -> str:
    """The name nearest to the mean colour of the tile on these solids."""
    mean = world.tiles[world.tile[geoms[0]]].mean((0, 1))
    return min(COLORS, key=lambda n: float(np.linalg.norm(np.sqrt(mean) - np.sqrt(COLORS[n]))))
