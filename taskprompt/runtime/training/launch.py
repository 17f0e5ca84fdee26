"""Running a job (training, evaluation) on the workers of a cluster, with Ray Train."""

import importlib
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from pyarrow.fs import LocalFileSystem

from taskprompt.core.errors import ErrorRecord
from taskprompt.core.events import ScalingUp, Waiting, Watch, WorkerLost
from taskprompt.distributed.context import WorkerContext
from taskprompt.distributed.sharding import shard
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.runtime import Runtime
from taskprompt.runs.lock import logged
from taskprompt.runs.run import Run
from taskprompt.runs.stop import interruptible
from taskprompt.runtime.cluster.connect import connected
from taskprompt.runtime.cluster.failures import lost, own_error, plain_error
from taskprompt.runtime.cluster.resources import fits_more_workers, wait_for_resources, worker_counts

SETTLE_SECONDS = 10  # before a job continues with fewer workers: resources of the last attempt are released with delay
GROWTH_SECONDS = 5  # between two checks for resources for more workers


def launch(job: str, run: Run, recipe: Recipe, address: str, watch: Watch) -> Any:
    """Run 'module:function' with arguments (run, context) on all workers of the recipe, and return its result.

    `watch` is called here with its events. The job is passed by name and the recipe by its file, so that Ray's own
    processes need not import their modules. If a worker or a node is lost, the job is restarted, at most
    `runtime.max_failures` times, and continues from its newest checkpoint; so does one that stopped because there are
    resources for more workers now.

    Raises the job's error, and ClusterError if the cluster was lost, or workers too often."""
    counts = worker_counts(recipe)
    with connected(recipe, address) as ray:
        left, tried, settle = recipe.runtime.max_failures, set(), 0.0
        while True:
            workers = wait_for_resources(ray, recipe, settle, lambda text: watch(Waiting(text)))
            settle = SETTLE_SECONDS
            more = {n for n in counts if n > workers} - tried  # tried only once each, in case they do not fit
            try:
                if (result := _run(ray, job, run, recipe, workers, more, watch)) is not False:
                    return result
                tried |= more
                watch(ScalingUp(workers))
            except Exception as error:
                plain = plain_error(error)
                if not left or not lost(error):
                    raise plain from error
                watch(WorkerLost(str(plain), left))
                with logged(run.path, 0) as log:
                    log.warning("%s. Restarted; restarts left: %d", str(plain).rstrip("."), left)
                left, tried = left - 1, set()


def _run(ray, job: str, run: Run, recipe: Recipe, workers: int, more: set[int], watch: Watch) -> Any:
    """One attempt of the job: its result; False if it stopped early on request."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    from taskprompt.runtime.cluster._ray_private import Trainer
    from taskprompt.runtime.cluster.loopback import torch_config

    r = recipe.runtime
    events = event_actor(ray)
    files, folder = (run.copy.fs, f"{run.copy.root}/ray") if run.copy else (LocalFileSystem(), str(run.path / "ray"))
    trainer = Trainer(
        worker,
        train_loop_config={
            "job": job,
            "run": (run.place, run.which),
            "runtime": r.model_dump(),
            "events": events,
        },
        torch_config=torch_config(ray.util.get_node_ip_address()),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=bool(r.gpu),
            resources_per_worker=r.worker_resources(),
            label_selector=r.worker_labels or None,
        ),
        # The name must be unique: Ray would resume an earlier run with the same name.
        run_config=RunConfig(
            name=f"{run.path.name}-{uuid.uuid4().hex[:8]}",
            storage_path=folder,
            storage_filesystem=files,
            # Ray Train would also retry user errors, so we handle retries.
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=3),
        ),
    )
    seen = watching(ray, events, watch, partial(fits_more_workers, ray, recipe, workers, more))
    try:
        with seen, interruptible():  # overrides the signal handlers that Ray set
            return trainer.fit().return_value
    except Exception:
        release(seen.group)
        raise
    except KeyboardInterrupt:
        if trainer.controller is not None:  # else it would continue on a cluster that was not started here
            ray.kill(trainer.controller)
        raise
    finally:  # Ray Train's own files, which a run does not need
        with suppress(OSError):
            files.delete_dir(folder)


def release(group: str) -> None:
    """Release the resources of a group of workers, by the id of its placement group.

    Ray Train does so itself, unless its own actors died with the workers, as when memory ran out."""
    from ray import PlacementGroupID
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    if group:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))


def event_actor(ray):
    """An actor that buffers the events of rank 0 for the driver, and the driver's request to stop."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class EventActor:  # local, so that it is pickled by value: its process imports only core.events, not torch (0.4 GB)
        def __init__(self):
            self.events: list[Any] = []
            self.group = ""  # the id of the workers' placement group
            self.stop = False

        def put(self, event: Any) -> None:
            self.events.append(event)

        def set_group(self, group: str) -> None:
            self.group = group

        def fetch(self) -> tuple[str, list[Any]]:
            events, self.events = self.events, []
            return self.group, events

        def ask_to_stop(self) -> None:
            self.stop = True

        def asked_to_stop(self) -> bool:
            return self.stop

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # on the driver's node
    return ray.remote(num_cpus=0, scheduling_strategy=here)(EventActor).remote()


class watching:
    """Fetch events in a thread while the job runs, and once at its end; ask it to stop if more workers fit."""

    def __init__(self, ray, events, watch: Watch, may_grow: Callable[[], bool]):
        self.ray, self.events, self.watch, self.may_grow = ray, events, watch, may_grow
        self.looked = time.monotonic()
        self.group = ""  # the id of the workers' placement group
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.thread.join(timeout=10)

    def _loop(self) -> None:
        while True:
            last = self.ended.is_set()
            try:
                self.group, events = self.ray.get(self.events.fetch.remote(), timeout=10)
                for event in events:
                    self.watch(event)
            except self.ray.exceptions.GetTimeoutError:
                continue  # its process is still starting, or the machine is busy
            except self.ray.exceptions.RayError:
                return
            if last:
                return
            if time.monotonic() - self.looked > GROWTH_SECONDS:
                self.looked = time.monotonic()
                if self.may_grow():
                    self.events.ask_to_stop.remote()
            self.ended.wait(0.5)


def worker(config: dict[str, Any]) -> Any:
    """The function that Ray Train runs on each worker."""
    import ray
    from ray import train
    from ray.train.torch import get_device, prepare_model

    from taskprompt.runtime.training.streams import ray_chunks

    r, ours = Runtime.model_validate(config["runtime"]), train.get_context()
    if r.torch_threads:
        torch.set_num_threads(r.torch_threads)
    events, device, workers = config["events"], get_device(), ours.get_world_size()

    def wrap(model):
        if r.parallel == "fsdp" and workers > 1:
            return shard(model, device)
        return prepare_model(model, parallel_strategy_kwargs={"find_unused_parameters": True})

    context = WorkerContext(
        rank=ours.get_world_rank(),
        workers=workers,
        device=device,
        chunks=partial(ray_chunks, runtime=r),
        wrap=wrap,
        notify=lambda event: events.put.remote(event) if ours.get_world_rank() == 0 else None,
        stop=lambda: ray.get(events.asked_to_stop.remote()),
    )
    if context.rank == 0:
        events.set_group.remote(ray.get_runtime_context().get_placement_group_id())
    module, name = config["job"].split(":")
    try:
        result = getattr(importlib.import_module(module), name)(Run.open(*config["run"]), context)
    except Exception as error:
        if (found := own_error(error)) is not None:
            raise ErrorRecord.of(found).raised() from None  # a class known to every process, with only text
        raise
    ray.get(events.asked_to_stop.remote())  # calls are ordered, so all events have arrived
    return result
