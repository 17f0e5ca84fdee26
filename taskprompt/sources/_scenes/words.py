"""Four ground-truth captions of a scene, one for each question of FTP. None mentions left or right."""

from collections import Counter
from collections.abc import Collection

from taskprompt.sources._scenes.plan import Plan, Thing

CATEGORY = {
    "walk": "walking",
    "run": "running",
    "jump": "jumping",
    "kick": "kicking",
    "wave": "waving a hand",
    "punch": "punching",
    "cartwheel": "turning a cartwheel",
    "squat": "doing a squat",
    "pick_up": "picking something up",
    "push": "pushing something",
    "drop": "dropping something",
}
COMPONENTS = {
    "walk": "The legs step in turn, the arms swing against them, and the whole body moves slowly forward.",
    "run": "The legs take long strides, the elbows are bent, the trunk leans forward, and the body moves fast.",
    "jump": "The knees bend, both feet leave the floor together while the arms swing up, and the feet land again.",
    "kick": "One leg swings forward until its foot is above the other knee, while the other foot stays on the floor.",
    "wave": "One hand is held above the shoulder and moves to and fro several times, while both feet stay in place.",
    "punch": "The hands are thrust forward one after the other from before the chest, while both feet stay in place.",
    "cartwheel": "The body turns over sideways with spread legs, and half-way the head is below the hips.",
    "squat": "The knees bend until the hips are low, the arms reach forward, and the body rises again.",
    "pick_up": "One hand reaches for the {thing} on the table, grips it and lifts it up.",
    "push": "One hand lies against the {thing} and slides it over the table.",
    "drop": "One hand holds the {thing} beside the table and lets go, and the {thing} falls to the floor.",
}
DETAIL = {
    "walk": "walks forward",
    "run": "runs forward",
    "jump": "jumps up",
    "kick": "kicks into the air",
    "wave": "waves",
    "punch": "punches the air",
    "cartwheel": "turns a cartwheel",
    "squat": "squats down and stands up",
    "pick_up": "picks up {thing} from the table",
    "push": "pushes {thing} along the table",
    "drop": "drops {thing} to the floor",
}
TALL, SHORT = 1.04, 0.94  # scales of the figure from which captions mention the height
BRISK, GENTLE = 1.06, 0.93  # vigours from which captions mention the amplitude
_NUMBERS = ("no", "one", "two", "three", "four", "five")


def sentences(plan: Plan, seen: Collection[int]) -> dict[str, str]:
    """label -> sentence. `seen`: indices of the plan.things that are visible."""
    thing = plan.target.shape if plan.target else ""
    return {
        "text_category": f"A person is {CATEGORY[plan.action]}.",
        "text_components": COMPONENTS[plan.action].format(thing=thing),
        "text_detail": _detail(plan),
        "text_context": _context(plan, [plan.things[i] for i in sorted(seen)]),
    }


def _detail(plan: Plan) -> str:
    p, target = plan.person, plan.target
    stature = "tall person" if p.scale > TALL else "short person" if p.scale < SHORT else "person"
    manner = " with big movements" if p.vigour > BRISK else " with small movements" if p.vigour < GENTLE else ""
    if plan.action == "drop":
        manner = ""  # falling does not depend on the vigour
    deed = DETAIL[plan.action]
    if target is not None:
        deed = deed.format(thing=_a(f"{target.paint} {target.shape}"))
    shirt = _a(f"{p.shirt} shirt")
    return f"A {stature} with {p.hair.color} hair, {shirt}, {p.trousers} trousers and {p.shoes} shoes {deed}{manner}."


def _context(plan: Plan, things: list[Thing]) -> str:
    room = plan.room
    text = f"A room with {room.wall} walls and {_a(f'{room.floor} floor')}."
    if plan.table is not None:
        text += f" {_a(f'{plan.table.paint} table').capitalize()} stands in front of the person."
    if not things:
        return text
    named = Counter(f"{t.paint} {t.shape}" for t in things)
    listed = [_a(n) if k == 1 else f"{_NUMBERS[k]} {_plural(n)}" for n, k in named.items()]
    joined = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    return f"{text} Around the person there {'is' if len(things) == 1 else 'are'} {joined}."


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("x") else "s")
