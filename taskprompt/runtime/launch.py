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

from taskprompt.core.errors import ClusterError, TaskPromptError
from taskprompt.core.recipe import Recipe, Runtime
from taskprompt.runtime.cluster import connected
from taskprompt.train.place import Place


def launch(job: str, path: Path, recipe: Recipe, address: str, watch: Callable[[dict[str, Any]], None]) -> None:
    """Run 'module:function', called with (path, place), on every worker that the recipe asks for.

    Facts that it notifies of reach `watch` here. The job goes by name and the recipe by its file, so that Ray's own
    processes, which pass them on, need not import what they name.

    Raises what the job raised, and ClusterError where a worker or the cluster was lost."""
    with connected(recipe, address) as ray:
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
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=3),
            ),
        )
        with watching(ray, board, watch):
            try:
                trainer.fit()
            except Exception as error:
                raise plain_error(error) from error
            finally:  # Ray Train's own notes; nothing of a run is in them
                shutil.rmtree(path / "ray", ignore_errors=True)


def make_board(ray):
    """An actor that holds what rank 0 notified of until the driver fetches it."""

    class Board:  # in here, so that it travels by value: its process then needs neither taskprompt nor torch, 0.4 GB
        def __init__(self):
            self.records: list[dict[str, Any]] = []

        def put(self, record: dict[str, Any]) -> None:
            self.records.append(record)

        def fetch(self) -> list[dict[str, Any]]:
            records, self.records = self.records, []
            return records

    return ray.remote(num_cpus=0)(Board).remote()


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


def plain_error(error: BaseException) -> TaskPromptError:
    """The taskprompt error inside what Ray raised, or a ClusterError with the last line of the cause."""
    found = own_error(error)
    if found is not None:
        return found
    last = next((e for e in reversed(inside(error)) if str(e).strip()), error)
    return ClusterError(f"the job ended with {type(last).__name__}: {str(last).strip().splitlines()[-1]}")


def own_error(error: BaseException) -> TaskPromptError | None:
    """The first taskprompt error among an error and what it came from."""
    return next((e for e in inside(error) if isinstance(e, TaskPromptError)), None)


def inside(error: BaseException) -> list[BaseException]:
    """An error and all that it came from, nearest first, through Ray's own wrappings."""
    seen: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue:
        current = queue.pop(0)
        if any(current is e for e in seen):
            continue
        seen.append(current)
        inner = [getattr(current, "cause", None), current.__cause__, current.__context__]
        inner += list(getattr(current, "worker_failures", {}).values())
        queue += [e for e in inner if isinstance(e, BaseException)]
    return seen
