"""Resuming a run: from which checkpoint and step, and which changes of its recipe are rejected."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from taskprompt.core.errors import CheckpointError
from taskprompt.core.files import write, writing
from taskprompt.recipe.files import dump, read, validate
from taskprompt.recipe.recipe import Recipe, Stage
from taskprompt.runs import checkpoint

# Fields that affect how a run is executed, logged or stored, but not what is trained.
FREE = (
    "runtime",
    "evaluate_every",
    "test",
    "save_every",
    "keep",
    "best.keep",
    "record_clips",
    "max_skipped",
    "labelers",
    "trackers",
)
ABSENT = "nothing"


class Change(NamedTuple):
    """One field that differs between the recipe of a run and the one given."""

    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.field}: found {_shown(self.new)}, expected {_shown(self.old)}"

    @property
    def told(self) -> str:
        """The change as a sentence for the log."""
        return f"{self.field} is now {_shown(self.new)}; it was {_shown(self.old)}."


def prepare_resume(folder: Path, recipe: Recipe, fetch: Callable[[str], None]) -> tuple[int, list[str]]:
    """Prepare a run's folder for resuming with this recipe; damaged checkpoints are renamed.

    fetch: downloads a checkpoint's tensors by its name. Returns the step to continue from, and messages for the user.
    Raises CheckpointError that lists the fields that differ; nothing is changed then."""
    file = folder / "recipe.yaml"
    old = validate(read(file), str(file), Recipe, check_sources=False)
    newest, damaged = newest_readable(folder / "checkpoints", old, fetch)
    state: dict[str, Any] = checkpoint.read_state(newest) if newest else {"total": 0}
    step, found = state["total"], changes(old, recipe)
    # Without a checkpoint, training starts from scratch, so any recipe is accepted.
    if newest and (wrong := refused(found, old, step)):
        shown = "".join(f"\n  {change}" for change in wrong)
        raise CheckpointError(
            f"{folder}: was trained to step {step} with another recipe:{shown}\n"
            "  Resume with the run's own recipe.yaml, or choose another folder for --out."
        )
    if newest and position(recipe.stages, step)[1] and "optimizer" not in state.get("groups", ["optimizer"]):
        raise CheckpointError(
            f"{newest}: was saved at the end of a stage, without optimizer state. Append a stage instead of adding "
            "steps to this one."
        )
    told = [_set_aside(path, error, step) for path, error in damaged]
    if any(change.field.startswith("stages.") for change in found):
        kept = write(folder / f"recipe-to-step-{step:08d}.yaml", dump(old))
        told.append(f"The previous recipe is kept as {kept.name}. The learning rate follows the new one.")
    return step, told + [change.told for change in found]


def newest_readable(
    folder: Path, recipe: Recipe, fetch: Callable[[str], None]
) -> tuple[Path | None, list[tuple[Path, CheckpointError]]]:
    """The newest checkpoint that can be read, None if there is none, and the newer ones that cannot.

    Raises CheckpointError if there are checkpoints and none can be read."""
    damaged: list[tuple[Path, CheckpointError]] = []
    for path in reversed(checkpoint.complete(folder)):
        try:
            fetch(path.name)
            checkpoint.check(path, recipe)
            return path, damaged
        except CheckpointError as error:
            damaged.append((path, error))
    if damaged:
        raise damaged[0][1]
    return None, []


def _set_aside(path: Path, error: CheckpointError, step: int) -> str:
    aside = path.with_name(f"damaged-{path.name}")
    with writing(path.parent):
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    return f"{error.text.removesuffix(checkpoint.ANOTHER)}It is kept as {aside.name}; continuing from step {step}."


def position(stages: Sequence[Stage], total: int) -> tuple[int, int]:
    """The position after `total` steps: (stage, completed steps of it). After the last step: (number of stages, 0)."""
    for index, stage in enumerate(stages):
        if total < stage.steps:
            return index, total
        total -= stage.steps
    return len(stages), 0


def changes(old: Recipe, new: Recipe) -> list[Change]:
    """Every field that differs, in the order of the recipe."""
    plain = [r.model_copy(update={"best": r.ranking()}).model_dump(mode="json") for r in (old, new)]
    return list(_changes("", *plain))


def refused(found: Sequence[Change], old: Recipe, total: int) -> list[Change]:
    """The changes that are not allowed when a run is resumed after `total` steps.

    Allowed are more steps of the current stage or a later one, additional stages at the end, and other held-out
    sources. If a run has ended, the last stage is the current one."""
    current = min(position(old.stages, total)[0], len(old.stages) - 1)

    def may(change: Change) -> bool:
        parts = change.field.split(".")
        if any(change.field == name or change.field.startswith(name + ".") for name in FREE):
            return True
        if parts[0] == "held_out" and len(parts) == 2:  # an added or removed source
            return ABSENT in (change.old, change.new)
        if parts[0] == "stages" and len(parts) == 2:
            return change.old == ABSENT
        if parts[0] == "stages" and parts[2:] == ["steps"]:
            return int(parts[1]) >= current and change.new > change.old
        return False

    return [change for change in found if not may(change)]


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.get("kind") == new.get("kind"):
        keys = dict.fromkeys([*old, *new])
        pairs = [(key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys]
    elif path == "stages":
        both = range(max(len(old), len(new)))
        pairs = [(i, *(side[i] if i < len(side) else ABSENT for side in (old, new))) for i in both]
    else:
        yield Change(path, old, new)
        return
    for key, a, b in pairs:
        yield from _changes(f"{path}.{key}".lstrip("."), a, b)


def _shown(value: Any) -> str:
    text = ABSENT if value is ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}..."
