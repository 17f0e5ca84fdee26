"""Resources: the requests of a recipe, whether a cluster's nodes can meet them, and waiting for nodes with a limit."""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from taskprompt.core.errors import ClusterError
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.autoscale import requested

SPARE = 1e-6  # tolerance: Ray's resources are fractional


@dataclass(frozen=True)
class Node:
    """The total or free resources of a node."""

    cpus: float
    gpus: float
    labels: dict[str, str]


def worker_counts(recipe: Recipe) -> list[int]:
    """The numbers of workers that a recipe allows and that divide its quotas, largest first. Raises SpecError."""
    return recipe.runtime.worker_counts({n: s.quota for n, s in recipe.sources.items()})


def needs(recipe: Recipe, workers: int | None = None, times: int = 1) -> tuple[float, float, str]:
    """CPUs and GPUs that a recipe requests, with this number of workers or the fewest; and the calculation as text.

    times: parallel runs, as in a sweep."""
    r = recipe.runtime
    if workers is None:
        workers = r.workers if isinstance(r.workers, int) else worker_counts(recipe)[-1]
    streams = [r.data_workers_for(name) for name in recipe.sources]
    cpus = workers * (r.cpus_per_worker + sum(streams) * r.data_cpus)
    decoding = f"{len(streams)} sources x {streams[0]}" if len(set(streams)) == 1 else f"{sum(streams)}"
    each = f" x {r.data_cpus:g} CPUs" if r.data_cpus != 1 else ""
    words = f"{workers} workers x {r.cpus_per_worker:g} CPUs + {workers} workers x {decoding} data tasks{each}"
    words += f" = {cpus:g} CPUs"
    gpus = workers * r.gpu_share
    if times > 1:
        cpus, gpus, words = times * cpus, times * gpus, f"{times} trials x ({words}) = {times * cpus:g} CPUs"
    return cpus, gpus, words + (f", and {gpus:g} GPUs" if gpus else "")


def fitting(have: Mapping[str, float], recipe: Recipe) -> int:
    """Number of trials of a recipe that fit into these resources."""
    cpus, gpus, _ = needs(recipe)
    asked = {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
    return min(int(have.get(name, 0) / count + SPARE) for name, count in asked.items())


def shortage(recipe: Recipe, workers: int, nodes: Iterable[Node], times: int = 1) -> str | None:
    """Why these nodes cannot run a recipe with this number of workers, with the calculation; None if they can."""
    r, nodes = recipe.runtime, list(nodes)
    cpus, gpus, words = needs(recipe, workers, times)
    have, cards = sum(n.cpus for n in nodes), sum(n.gpus for n in nodes)
    what, fewer = ("the sweep", "concurrent, ") if times > 1 else ("the recipe", "")
    asked = f"{what} requests {words}; the cluster has {have:g} CPUs, {cards:g} GPUs"
    remedy = f"Lower {fewer}runtime.workers, runtime.data_workers or runtime.cpus_per_worker, or add nodes."
    if have + SPARE < cpus or cards + SPARE < gpus:
        return f"{asked}. {remedy}"
    left = [[n.cpus, n.gpus] for n in nodes]
    training = [i for i, n in enumerate(nodes) if matches(n.labels, r.worker_labels)]
    decoding = [i for i, n in enumerate(nodes) if matches(n.labels, r.data_labels)]
    for what, where, labels in (("worker", training, r.worker_labels), ("data", decoding, r.data_labels)):
        if not where:
            return f"no node has the labels {labels} of runtime.{what}_labels. Start a node with these labels."
    workers *= times
    tasks = workers * sum(r.data_workers_for(name) for name in recipe.sources)
    if not _place(workers, r.cpus_per_worker, r.gpu_share, training, left):
        return f"{asked}, but no node can hold a whole worker of {r.cpus_per_worker:g} CPUs. {remedy}"
    if not _place(tasks, r.data_cpus, 0, decoding, left):
        return f"{asked}, but too few remain for data tasks after placing the workers. {remedy}"
    return None


def _place(count: int, cpus: float, gpus: float, where: list[int], left: list[list[float]]) -> bool:
    """Allocate `count` equal bundles on the nodes, those with most free resources first."""
    for _ in range(count):
        at = max(where, key=lambda i: (left[i][1] + SPARE >= gpus, left[i][0]))
        if left[at][0] + SPARE < cpus or left[at][1] + SPARE < gpus:
            return False
        left[at][0] -= cpus
        left[at][1] -= gpus
    return True


def matches(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    """Ray's label selectors: a value, !value, in(a, b), !in(a, b)."""
    for key, rule in wanted.items():
        found = re.fullmatch(r"(!?)(?:in\((.*)\)|(.*))", rule)
        assert found is not None  # the last alternative matches anything
        values = [v.strip() for v in found[2].split(",")] if found[2] is not None else [found[3]]
        if (labels.get(key) in values) == bool(found[1]):
            return False
    return True


def nodes(ray, free: bool) -> list[Node]:
    """The cluster's nodes, with their total or free resources."""
    from taskprompt.runtime.cluster._ray_private import free_resources

    unused = free_resources() if free else {}
    found = []
    for node in ray.nodes():
        if node["Alive"]:
            has = unused.get(node["NodeID"], {}) if free else node["Resources"]
            found.append(Node(has.get("CPU", 0.0), has.get("GPU", 0.0), dict(node.get("Labels") or {})))
    return found


def refuse_if_too_small(ray, recipe: Recipe, times: int = 1) -> None:
    """Raises ClusterError, with the calculation, if the cluster could not run the recipe even if it were idle."""
    problem = shortage(recipe, worker_counts(recipe)[-1], nodes(ray, free=False), times)
    if problem and not recipe.runtime.autoscale:
        raise ClusterError(problem)


def wait_for_resources(ray, recipe: Recipe, settle: float, tell: Callable[[str], None]) -> int:
    """Wait until the largest number of workers fits, after `settle` seconds any allowed number; return the number.

    Raises ClusterError after `runtime.wait` seconds, with the calculation. Requests nodes from an autoscaling
    cluster."""
    counts = worker_counts(recipe)
    with requested(recipe, counts[0]) if recipe.runtime.autoscale else nullcontext():
        return _wait(ray, recipe, counts, settle, tell)


def _wait(ray, recipe: Recipe, counts: list[int], settle: float, tell: Callable[[str], None]) -> int:
    begin, told = time.monotonic(), False
    while True:
        free = nodes(ray, free=True)
        fitting = [n for n in counts if shortage(recipe, n, free) is None]
        waited = time.monotonic() - begin
        if fitting and (fitting[0] == counts[0] or waited >= settle):
            return fitting[0]
        if not fitting and waited > recipe.runtime.wait:
            whole = shortage(recipe, counts[-1], nodes(ray, free=False))
            problem = whole or f"resources are in use: {shortage(recipe, counts[-1], free)}".replace(
                " has ", " has free "
            )
            raise ClusterError(f"after {recipe.runtime.wait:g} s of waiting (runtime.wait): {problem}")
        if not told and not fitting and waited > 5:
            told = True
            tell(f"waiting for resources: {shortage(recipe, counts[-1], free)}".replace(" has ", " has free "))
        time.sleep(0.5)


def fits_more_workers(ray, recipe: Recipe, workers: int, more: Iterable[int]) -> bool:
    """Whether the job that runs with this number of workers could now run with one of these larger numbers."""
    everything, free = nodes(ray, free=False), nodes(ray, free=True)
    for n in more:
        cpus, gpus = (a - b for a, b in zip(needs(recipe, n)[:2], needs(recipe, workers)[:2], strict=True))
        enough = sum(f.cpus for f in free) + SPARE >= cpus and sum(f.gpus for f in free) + SPARE >= gpus
        if enough and shortage(recipe, n, everything) is None:
            return True
    return False
