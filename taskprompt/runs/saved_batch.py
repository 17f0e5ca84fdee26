"""A batch on disk, for people to look at: what made a loss that is no number."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from taskprompt.core.errors import TaskError, WriteError
from taskprompt.core.files import write, writing
from taskprompt.core.types import Batch
from taskprompt.distributed import collective
from taskprompt.train.loop import NotFinite
from taskprompt.runs.run import Run


def save_batch(batch: Batch, path: Path) -> None:
    """Write a batch as one safetensors file: video, rows/<task>, targets/<task>/<array>; keys in its metadata."""
    tensors = {"video": batch.video} | {f"rows/{n}": rows for n, rows in batch.rows.items()}
    tensors |= {f"targets/{n}/{k}": v for n, arrays in batch.targets.items() for k, v in arrays.items()}
    whole = {k: v.cpu().contiguous().clone() for k, v in tensors.items()}
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write(path, save(whole, metadata={"keys": json.dumps(batch.keys)}))


def saved_with(error: NotFinite, run: Run, step: int, rank: int) -> TaskError:
    """The error with the place of the batches that made it, which are saved for looking at. All workers take part."""
    files = []
    for i, batch in enumerate(error.batches):
        name = f"not_finite/step-{step:08d}-worker-{rank}-{i}.safetensors"
        try:
            save_batch(batch, run.path / name)
            files.append(name)
        except WriteError as problem:  # what is wrong with the loss matters more
            error.args = (f"{error} The batch is not saved: {problem}",)
    run.push_files(files)
    everyone = [f for part in collective.gather(files) for f in part]
    saved = f" Saved, to be read by taskprompt.load_batch: {run.place}/{everyone[0]}." if everyone else ""
    return TaskError(f"{error}{saved}")


def load_batch(path: str | Path) -> Batch:
    """The batch that a run saved where a loss was not a finite number."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        keys = json.loads(file.metadata()["keys"])
    rows = {n.removeprefix("rows/"): v for n, v in tensors.items() if n.startswith("rows/")}
    targets: dict = {n: {} for n in rows}
    for name, value in tensors.items():
        if name.startswith("targets/"):
            task, _, array = name.removeprefix("targets/").rpartition("/")
            targets[task][array] = value
    return Batch(keys, tensors["video"], targets, rows)
