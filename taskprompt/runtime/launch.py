"""Running a job (training, evaluation) on the workers of a cluster, with Ray Train."""

import importlib
import shutil
import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from taskprompt.core.recipe import Recipe, Runtime
from taskprompt.runtime.cluster import connected, wait_for_room
from taskprompt.runtime.failures import lost, own_error, plain_error
from taskprompt.train.place import Place
from taskprompt.train.run import logged


def launch(job: str, path: Path, recipe: Recipe, address: str, watch: Callable[[dict[str, Any]], None]) -> None:
    """Run 'module:function', called with (path, place), on every worker that the recipe asks for.

    Facts that it notifies of reach `watch` here. The job goes by name and the recipe by its file, so that Ray's own
    processes, which pass them on, need not import what they name. Where a worker or a node is lost the job starts
    anew, `runtime.max_failures` times at most, and by itself goes on from what it has saved.

    Raises what the job raised, and ClusterError where the cluster was lost, or workers too often."""
    with connected(recipe, address) as ray:
        for left in range(recipe.runtime.max_failures, -1, -1):
            try:
                _run(ray, job, path, recipe, watch)
                return
            except Exception as error:
                plain = plain_error(error)
                if not left or not lost(error):
                    raise plain from error
                watch({"lost": str(plain), "left_to_try": left})
                with logged(path, 0) as log:
                    log.warning("%s. Started anew; times left: %d", str(plain).rstrip("."), left)
                wait_for_room(ray, recipe)


def _run(ray, job: str, path: Path, recipe: Recipe, watch: Callable[[dict[str, Any]], None]) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    r = recipe.runtime
    board = make_board(ray)
    trainer = TorchTrainer(
        worker,
        train_loop_config={"job": job, "path": str(path), "runtime": r.model_dump(), "board": board},
        scaling_config=ScalingConfig(
            num_workers=r.workers,
            use_gpu=r.gpu,
            resources_per_worker={"CPU": r.cpus_per_worker} | ({"GPU": 1} if r.gpu else {}),
        ),
        # Ray's own name must be unique: one it knows already would be taken up where that one ended.
        run_config=RunConfig(
            name=f"{path.name}-{uuid.uuid4().hex[:8]}",
            storage_path=str(path / "ray"),
            # Ray Train would try a user's mistake again, too, so trying again is ours.
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=3),
        ),
    )
    with watching(ray, board, watch):
        try:
            trainer.fit()
        finally:  # Ray Train's own notes; nothing of a run is in them
            shutil.rmtree(path / "ray", ignore_errors=True)


def make_board(ray):
    """An actor that holds what rank 0 notified of until the driver fetches it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class Board:  # in here, so that it travels by value: its process then needs neither taskprompt nor torch, 0.4 GB
        def __init__(self):
            self.records: list[dict[str, Any]] = []

        def put(self, record: dict[str, Any]) -> None:
            self.records.append(record)

        def fetch(self) -> list[dict[str, Any]]:
            records, self.records = self.records, []
            return records

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # lost with us alone
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Board).remote()


class watching:
    """Fetch records in a thread while the job runs, and once more when it has ended."""

    def __init__(self, ray, board, watch: Callable[[dict[str, Any]], None]):
        self.ray, self.board, self.watch = ray, board, watch
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
                for record in self.ray.get(self.board.fetch.remote(), timeout=10):
                    if record:
                        self.watch(record)
            except self.ray.exceptions.GetTimeoutError:
                continue  # its process is still starting, or the machine is busy
            except self.ray.exceptions.RayError:
                return
            if last:
                return
            self.ended.wait(0.5)


def worker(config: dict[str, Any]) -> None:
    """What Ray Train runs on each worker."""
    import ray
    from ray.train import get_context
    from ray.train.torch import get_device, prepare_model

    from taskprompt.runtime.streams import ray_chunks

    r, context = Runtime.model_validate(config["runtime"]), get_context()
    if not r.gpu or r.threads:
        torch.set_num_threads(r.threads or max(1, int(r.cpus_per_worker)))
    board = config["board"]
    place = Place(
        rank=context.get_world_rank(),
        workers=context.get_world_size(),
        device=get_device(),
        chunks=partial(ray_chunks, block=r.block, tasks=r.data_tasks),
        wrap=lambda model: prepare_model(model, parallel_strategy_kwargs={"find_unused_parameters": True}),
        notify=lambda record: board.put.remote(record) if context.get_world_rank() == 0 else None,
    )
    module, name = config["job"].split(":")
    try:
        getattr(importlib.import_module(module), name)(Path(config["path"]), place)
    except Exception as error:
        if (found := own_error(error)) is not None:
            raise found from None  # here, for what an error was raised from does not travel
        raise
    ray.get(board.put.remote({}))  # calls keep their order, so every record has arrived
