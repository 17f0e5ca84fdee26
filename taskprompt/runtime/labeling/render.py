"""Rendering of a recipe's clips before training, for sources with a cache."""

from typing import Any

import numpy as np

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.events import Rendering, Watch
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.connect import connected

BLOCK = 8  # clips per task: rendering takes long, so small blocks keep all cores busy to the end


def render(recipe: Recipe, address: str = "local", watch: Watch = lambda event: None) -> dict:
    """'sources.name' -> (clips rendered now, clips found in the cache, folder), through Ray on all cores of the
    cluster.

    Raises SpecError if no source of the recipe has a cache."""
    groups = {"sources": recipe.sources, "held_out": recipe.held_out}
    found = {f"{g}.{n}": s for g, part in groups.items() for n, s in part.items() if getattr(s, "cache", None)}
    if not found:
        raise SpecError("render: no source has a `cache` for rendered clips. Set one, such as sources.real.cache.")
    with connected(recipe, address) as ray:
        return {name: _draw(ray, name, source, recipe.clip, watch) for name, source in found.items()}


def _draw(ray, name: str, source: Any, clip: ClipSpec, watch: Watch) -> tuple[int, int, str]:
    rows = list(source.rows())
    shared = ray.put(rows)

    def draw(batch: Any) -> Any:
        mine = ray.get(shared)
        return {"drawn": np.asarray([source.draw_once(mine[int(i)], clip) for i in batch["id"]])}

    blocks = max(1, len(rows) // BLOCK)
    data = ray.data.range(len(rows), override_num_blocks=blocks).map_batches(draw, batch_size=None, num_cpus=1)
    drawn = done = 0
    for batch in data.iter_batches(batch_size=None, batch_format="numpy"):
        drawn, done = drawn + int(batch["drawn"].sum()), done + len(batch["drawn"])
        watch(Rendering(name, len(batch["drawn"]), len(rows)))
    return drawn, done - drawn, str(source.cache)
