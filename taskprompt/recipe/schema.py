"""All kinds with their one-line descriptions, and the JSON schema of a recipe."""

import inspect
from typing import Any

from taskprompt.core.balancer import Balancer
from taskprompt.core.labeler import Labeler
from taskprompt.core.model import Backbone, Prompter
from taskprompt.core.source import Source
from taskprompt.core.spec import Spec
from taskprompt.core.task import Task
from taskprompt.core.tracker import Tracker
from taskprompt.recipe.recipe import Recipe


def interfaces() -> tuple[type[Spec], ...]:
    """The interfaces of kinds."""
    return (Task, Source, Backbone, Prompter, Balancer, Labeler, Tracker)


def one_line(kind: type[Spec]) -> str:
    """The first sentence of a kind's docstring."""
    return inspect.cleandoc(kind.__doc__ or "").split("\n")[0]


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe; for an interface, any of its kinds or a user's own."""
    return Recipe.model_json_schema() | {
        "title": "taskprompt recipe",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }
