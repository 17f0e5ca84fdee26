"""A trial as a Ray Tune trainable: the training job in a thread, which waits at every evaluation."""

import gc
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import ray
import torch
from ray.tune import Trainable
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from taskprompt.core.errors import TaskPromptError, nearest, told
from taskprompt.core.events import Evaluated, Event, Saved
from taskprompt.distributed.context import WorkerContext
from taskprompt.runs import checkpoint
from taskprompt.runs.run import Run
from taskprompt.runtime.cluster.failures import lost, plain_error
from taskprompt.runtime.training.streams import ray_chunks
from taskprompt.train.job import train

PATIENCE = 120  # seconds for a job to end

log = logging.getLogger("taskprompt")


class Trial(Trainable):
    """Trains a run's folder; a step of Tune lasts until the next evaluation.

    Errors are returned as data, so that Tune does not retry the trial; only errors of lost processes are raised."""

    def setup(self, config: dict[str, Any]) -> None:
        self.job: Job | None = None
        self.options = config

    def step(self) -> dict[str, Any]:
        """step, value, seconds, last; or error; or fatal, if every trial would have the same error."""
        try:
            self.job = self.job or Job(Path(self.options["path"]), self.options["metric"])
        except (OSError, TaskPromptError) as error:  # its folder cannot be read
            return {"number": self.options["number"], "error": told(error)}
        return {"number": self.options["number"], **self.job.next()}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Run another trial in the same process, which keeps imported modules."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        if self.job is not None:
            self.job.end()
        self.job = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class Ended(BaseException):
    """Ends a job's thread; not caught by `except Exception`."""


class Job:
    """The training of a run's folder, one evaluation at a time, from its newest checkpoint if it has one."""

    def __init__(self, path: Path, metric: str):
        self.run, self.metric, self.recipe = Run(path), metric, Run(path).recipe
        self.steps = sum(stage.steps for stage in self.recipe.stages)
        newest = checkpoint.latest(self.run.checkpoints)
        saved = checkpoint.read_state(newest)["total"] if newest else 0
        # Results that were saved before, since the driver may have died before it received them.
        self.known = deque(r for r in self.run.lines("held_out.jsonl") if r["step"] <= saved)
        self.ready: SimpleQueue = SimpleQueue()  # evaluations, an error, or None at the end
        self.go = threading.Semaphore(0)
        self.ending = False
        self.thread: threading.Thread | None = None
        self.found: Evaluated | None = None  # an evaluation whose checkpoint is not written yet
        self.clock = time.monotonic()
        # Data tasks use the trial's reserved CPUs, since a full cluster has no others.
        group: Any = ray.util.get_current_placement_group()
        self.bundles = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)

    def next(self) -> dict[str, Any]:
        """The next evaluation."""
        if self.known:
            record = self.known.popleft()
            return self._facts(record["step"], record, 0.0)
        self.clock = time.monotonic()
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, daemon=True)
            self.thread.start()
        else:
            self.go.release()
        found = self.ready.get()
        if found is None:
            return {"error": "the job ended before its last step was measured."}
        if isinstance(found, BaseException):
            if lost(found):
                raise found
            return {"error": " ".join(str(plain_error(found)).split())}
        return self._facts(found.step, found.metrics, time.monotonic() - self.clock)

    def _facts(self, step: int, held_out: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        if self.metric not in held_out:
            known = [name for name in held_out if name != "step"]
            what = f"metric: {self.metric!r} is not measured{nearest(self.metric, known)}"
            return {"fatal": f"{what} Measured: {', '.join(known)}."}
        value = float(held_out[self.metric])
        if not abs(value) < float("inf"):
            return {"error": f"{self.metric} is {value} at step {step}, so the trial cannot be ranked."}
        return {"step": step, "value": value, "seconds": round(seconds, 3), "last": step >= self.steps}

    def end(self) -> None:
        """Stop the job at its next event. Raises TimeoutError if there is none; Tune then ends the process."""
        self.ending = True
        self.go.release()
        if self.thread is not None:
            self.thread.join(PATIENCE)
            if self.thread.is_alive():
                raise TimeoutError(f"{self.run.path}: the job has not ended within {PATIENCE} s.")

    def _work(self) -> None:
        r = self.recipe.runtime
        if r.torch_threads:
            torch.set_num_threads(r.torch_threads)
        chunks = partial(ray_chunks, runtime=r, strategy=self.bundles)
        try:
            train(self.run, WorkerContext(chunks, device=r.device(), notify=self._notify))
            self.ready.put(None)
        except Ended:
            pass
        except BaseException as error:
            log.exception("the trial failed")
            self.ready.put(error)

    def _notify(self, event: Event) -> None:
        match event:
            case Evaluated():
                self.found = event
            case Saved() if self.found is not None:
                found, self.found = self.found, None
                self.ready.put(found)
                self.go.acquire()
        if self.ending:
            raise Ended
