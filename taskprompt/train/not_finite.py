"""Losses and gradients that are NaN or infinite: the tasks and clips concerned, and saving of their batches."""

import math

import torch

from taskprompt.core.errors import TaskError, WriteError, shown
from taskprompt.core.types import Batch
from taskprompt.distributed import collective
from taskprompt.runs.run import Run
from taskprompt.runs.saved_batch import save_batch
from taskprompt.train.losses import Loss


class NotFinite(TaskError):
    """A loss or the gradient is not a finite number; no worker has changed its weights."""

    batches: list[Batch]  # this worker's batches, if concerned


def check_finite(numbers: list[float], group: list[Batch], found: list[dict[str, Loss]]) -> None:
    """Raises NotFinite if a number is not finite. All workers have the same sums, so all raise or none does."""
    if all(math.isfinite(n) for n in numbers):
        return
    bad: dict[str, list[str]] = {}
    for batch, losses in zip(group, found, strict=True):
        for name, loss in losses.items():
            rows = batch.rows[name][~torch.isfinite(loss.each)]
            bad.setdefault(name, []).extend(batch.keys[i] for i in rows.tolist())
    everyone = {name: [k for part in collective.gather(keys) for k in part] for name, keys in bad.items()}
    named = [f"the loss of task {name!r} for {shown(keys)}" for name, keys in everyone.items() if keys]
    what = ", ".join(named) or ("the gradient" if math.isfinite(numbers[-2]) else "the sum of the losses")
    error = NotFinite(f"{what} is not a finite number; no weights were changed. Check these clips, or lower lr.")
    error.batches = group if not named or any(bad.values()) else []
    raise error


def saved_with(error: NotFinite, run: Run, step: int, rank: int) -> TaskError:
    """The error with the path of the batches concerned, which are saved. A collective call."""
    files = []
    for i, batch in enumerate(error.batches):
        name = f"not_finite/step-{step:08d}-worker-{rank}-{i}.safetensors"
        try:
            save_batch(batch, run.path / name)
            files.append(name)
        except WriteError as problem:  # must not hide the error of the loss
            error.args = (f"{error.text} The batch is not saved: {problem.text}",)
    run.push_files(files)
    everyone = [f for part in collective.gather(files) for f in part]
    saved = f" The batch is saved; read it with taskprompt.load_batch: {run.place}/{everyone[0]}." if everyone else ""
    return TaskError(f"{error.text}{saved}")
