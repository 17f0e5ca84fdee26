"""A batch on disk, for people to look at: what made a loss that is no number."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from taskprompt.core.files import write, writing
from taskprompt.core.types import Batch


def save_batch(batch: Batch, path: Path) -> None:
    """Write a batch as one safetensors file: video, rows/<task>, targets/<task>/<array>; keys in its metadata."""
    tensors = {"video": batch.video} | {f"rows/{n}": rows for n, rows in batch.rows.items()}
    tensors |= {f"targets/{n}/{k}": v for n, arrays in batch.targets.items() for k, v in arrays.items()}
    whole = {k: v.cpu().contiguous().clone() for k, v in tensors.items()}
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write(path, save(whole, metadata={"keys": json.dumps(batch.keys)}))


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
