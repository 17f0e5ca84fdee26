"""Draw what a recipe will need before it trains: every clip of sources that keep what they draw."""

from collections import Counter
from typing import Any

import numpy as np

from taskprompt.core.errors import SpecError
from taskprompt.core.recipe import Recipe
from taskprompt.core.source import ClipSpec, Source
from taskprompt.runtime.cluster import connected

BLOCK = 4  # clips a task: drawing takes long, so small blocks keep all cores busy to the end


def render(recipe: Recipe, address: str = "local") -> dict[str, tuple[int, int, str]]:
    """source name -> (clips drawn now, clips found drawn, folder), through Ray on all cores of the cluster.

    Raises SpecError where no source of the recipe draws into a folder."""
    found = {n: s for n, s in (recipe.sources | recipe.held_out).items() if getattr(s, "cache", None)}
    if not found:
        raise SpecError(
            "render: no source of this recipe has a `cache` to draw into. Set it, for example sources.real.cache."
        )
    with connected(recipe, address) as ray:
        cores = int(ray.cluster_resources()["CPU"])
        return {name: (*_draw(ray, source, recipe.clip, cores), str(source.cache)) for name, source in found.items()}  # type: ignore[attr-defined]


def _draw(ray, source: Source, clip: ClipSpec, cores: int) -> tuple[int, int]:
    rows = list(source.rows())
    shared = ray.put(rows)

    def draw(batch: Any) -> Any:
        mine = ray.get(shared)
        return {"drawn": np.asarray([source.draw_once(mine[int(i)], clip) for i in batch["id"]])}  # type: ignore[attr-defined]

    data = ray.data.range(len(rows), override_num_blocks=max(1, len(rows) // BLOCK)).map_batches(draw, batch_size=None)
    counts = Counter(bool(r["drawn"]) for r in data.iter_rows())
    return counts[True], counts[False]
