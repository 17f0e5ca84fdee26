"""A recipe in a few lines, for a Python prompt and a notebook."""

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from taskprompt.core.result import html_table, text_table
from taskprompt.core.spec import Spec, kind_of
from taskprompt.core.text import shown
from taskprompt.recipe.files import dump

if TYPE_CHECKING:
    from taskprompt.recipe.recipe import Recipe


def recipe_text(recipe: "Recipe") -> str:
    """A recipe's `repr`."""
    return text_table((), recipe_rows(recipe), "Recipe")


def recipe_html(recipe: "Recipe") -> str:
    """The same for a notebook, with the whole recipe as yaml to unfold."""
    whole = f"<details><summary>as yaml</summary><pre>{escape(shown(dump(recipe)))}</pre></details>"
    return html_table((), recipe_rows(recipe), "Recipe") + whole


def recipe_rows(recipe: "Recipe") -> list[tuple[str, str]]:
    """What it trains, on what, and for how long: (part, in words)."""
    clip, stages = recipe.clip, [f"{s.steps} steps{_of(s.tasks)}" for s in recipe.stages]
    return [
        ("clip", f"{clip.frames} frames of {clip.height} x {clip.width}"),
        ("backbone", kind_of(type(recipe.backbone)) + (f", from {recipe.weights.path}" if recipe.weights else "")),
        ("prompter", kind_of(type(recipe.prompter))),
        ("tasks", _kinds(recipe.tasks)),
        ("sources", _kinds(recipe.sources)),
        ("held out", _kinds(recipe.held_out) or "none"),
        ("stages", ", then ".join(f"{n} times {s}" if n > 1 else s for s, n in Counter(stages).items())),
    ]


def _of(tasks: tuple[str, ...] | None) -> str:
    return "" if tasks is None else f" of {', '.join(tasks)}"


def _kinds(specs: Mapping[str, Spec]) -> str:
    """'action, far (depth)': names, and their kinds where these are others."""
    kinds = {name: kind_of(type(spec)) for name, spec in specs.items()}
    return ", ".join(name if name == kind else f"{name} ({kind})" for name, kind in kinds.items())
