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
from taskprompt.runtime.cluster.resources import has_room_for_more, wait_for_room, worker_counts

SETTLE_SECONDS = 10  # before a job goes on with fewer workers: what the last go held comes free by and by
GROWTH_SECONDS = 5  # between two looks whether there is room for more workers


def launch(job: str, run: Run, recipe: Recipe, address: str, watch: Watch) -> Any:
    """Run 'module:function', called with (run, context), on every worker that the recipe asks for; what it returned.

    Its events reach `watch` here. The job goes by name and the recipe by its file, so that Ray's own
    processes, which pass them on, need not import what they name. Where a worker or a node is lost the job starts
    anew, `runtime.max_failures` times at most, and by itself goes on from what it has saved; so does one that stopped
    because there is room for more workers now.

    Raises what the job raised, and ClusterError where the cluster was lost, or workers too often."""
    counts = worker_counts(recipe)
    with connected(recipe, address) as ray:
        left, tried, settle = recipe.runtime.max_failures, set(), 0.0
        while True:
            workers = wait_for_room(ray, recipe, settle, lambda text: watch(Waiting(text)))
            settle = SETTLE_SECONDS
            more = {n for n in counts if n > workers} - tried  # asked for once each, in case they then do not fit
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
                    log.warning("%s. Started anew; times left: %d", str(plain).rstrip("."), left)
                left, tried = left - 1, set()


def _run(ray, job: str, run: Run, recipe: Recipe, workers: int, more: set[int], watch: Watch) -> Any:
    """One go at the job: what it returned; False where it stopped before its end, as asked."""
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
        # Ray's own name must be unique: one it knows already would be taken up where that one ended.
        run_config=RunConfig(
            name=f"{run.path.name}-{uuid.uuid4().hex[:8]}",
            storage_path=folder,
            storage_filesystem=files,
            # Ray Train would try a user's mistake again, too, so trying again is ours.
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=3),
        ),
    )
    seen = watching(ray, events, watch, partial(has_room_for_more, ray, recipe, workers, more))
    try:
        with seen, interruptible():  # Ray has set handlers of its own when it was started
            return trainer.fit().return_value
    except Exception:
        release(seen.group)
        raise
    except KeyboardInterrupt:
        if trainer.controller is not None:  # or it would go on where Ray was running before us
            ray.kill(trainer.controller)
        raise
    finally:  # Ray Train's own notes; nothing of a run is in them
        with suppress(OSError):
            files.delete_dir(folder)


def release(group: str) -> None:
    """Give back the resources of a group of workers, by the id of its placement group.

    Ray Train does so itself, unless its own helpers died with the workers: memory that ran out took all of them."""
    from ray import PlacementGroupID
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    if group:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))


def event_actor(ray):
    """An actor that holds the events of rank 0 until the driver fetches them, and whether the driver asked to stop."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class EventActor:  # in here, so that it travels by value: its process imports core.events alone, not torch, 0.4 GB
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

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # lost with us alone
    return ray.remote(num_cpus=0, scheduling_strategy=here)(EventActor).remote()


class watching:
    """Fetch events in a thread while the job runs, and once more at its end; ask it to stop where it may grow."""

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
    """What Ray Train runs on each worker."""
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
            raise ErrorRecord.of(found).raised() from None  # a class that every process knows, with text alone
        raise
    ray.get(events.asked_to_stop.remote())  # calls keep their order, so every event has arrived
    return result
