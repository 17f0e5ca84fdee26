"""Room that a cluster has not got yet: nodes that its autoscaler, where it has one, adds for a recipe.

Ray Train gives up on workers that do not start within a minute, and a node of a cloud takes several, so nodes are asked
for before training starts. Nobody can tell from here whether a cluster grows: one that does not is waited for in vain,
which `runtime.wait` limits."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskprompt.core.recipe import Recipe


def pieces(recipe: Recipe) -> list[dict[str, float]]:
    """What a recipe asks for at once, as the pieces that each lie on one node: its workers, then its data tasks."""
    r = recipe.runtime
    worker = {"CPU": r.cpus_per_worker} | ({"GPU": 1.0} if r.gpu else {})
    return [worker] * r.workers + [{"CPU": 1.0}] * (r.workers * len(recipe.sources) * r.data_tasks)


@contextmanager
def asked_for(recipe: Recipe) -> Iterator[None]:
    """While inside, an autoscaler adds nodes until the pieces of a recipe would all fit, and removes none of these."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=pieces(recipe))
    try:
        yield
    finally:  # else idle nodes would stay, and cost, for as long as the head runs
        request_resources(bundles=[])
