"""Requests to the cluster's autoscaler for the nodes that a recipe needs.

Ray Train gives up on workers that do not start within a minute, and a cloud node takes several, so nodes are requested
before training starts."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskprompt.recipe.recipe import Recipe


def pieces(recipe: Recipe, workers: int) -> tuple[list[dict[str, float]], list[dict[str, str]]]:
    """A recipe's resource bundles, each for one node (its workers, then its data tasks), and the node labels of
    each."""
    r = recipe.runtime
    worker = r.worker_resources()
    tasks = workers * sum(r.data_workers_for(name) for name in recipe.sources)
    return [worker] * workers + [{"CPU": r.data_cpus}] * tasks, [r.worker_labels] * workers + [r.data_labels] * tasks


@contextmanager
def requested(recipe: Recipe, workers: int) -> Iterator[None]:
    """In this context, the autoscaler adds nodes until all bundles of a recipe fit, and removes none of these."""
    from ray.autoscaler.sdk import request_resources

    bundles, labels = pieces(recipe, workers)
    request_resources(bundles=bundles, bundle_label_selectors=labels)
    try:
        yield
    finally:  # else idle nodes would be kept as long as the head runs
        request_resources(bundles=[])
