"""Nodes that a cluster has not got yet, and that its autoscaler adds for a recipe.

Ray Train gives up on workers that do not start within a minute, and a node of a cloud takes several, so nodes are asked
for before training starts."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskprompt.recipe.recipe import Recipe


def pieces(recipe: Recipe, workers: int) -> tuple[list[dict[str, float]], list[dict[str, str]]]:
    """What a recipe asks for at once, in pieces that each lie on one node (its workers, then its data tasks), and the
    labels of the node for each."""
    r = recipe.runtime
    worker = r.worker_resources()
    tasks = workers * sum(r.data_workers_for(name) for name in recipe.sources)
    return [worker] * workers + [{"CPU": r.data_cpus}] * tasks, [r.worker_labels] * workers + [r.data_labels] * tasks


@contextmanager
def asked_for(recipe: Recipe, workers: int) -> Iterator[None]:
    """While inside, an autoscaler adds nodes until the pieces of a recipe would all fit, and removes none of these."""
    from ray.autoscaler.sdk import request_resources

    bundles, labels = pieces(recipe, workers)
    request_resources(bundles=bundles, bundle_label_selectors=labels)
    try:
        yield
    finally:  # else idle nodes would stay, and cost, for as long as the head runs
        request_resources(bundles=[])
