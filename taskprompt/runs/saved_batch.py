"""A batch on disk, for debugging: the input of a loss that was NaN or infinite."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from taskprompt.core.files import write, writing
from taskprompt.core.types import Batch


def save_batch(batch: Batch, path: Path) -> None:
    """Write a batch as one safetensors file: video, rows/<task>, targets/<task>/<array>, inputs/<task>/<array>; keys
    in its metadata."""
    tensors = {"video": batch.video} | {f"rows/{n}": rows for n, rows in batch.rows.items()}
    for group, tasks in (("targets", batch.targets), ("inputs", batch.inputs)):
        tensors |= {f"{group}/{n}/{k}": v for n, arrays in tasks.items() for k, v in arrays.items()}
    whole = {k: v.cpu().contiguous().clone() for k, v in tensors.items()}
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write(path, save(whole, metadata={"keys": json.dumps(batch.keys)}))


def load_batch(path: str | Path) -> Batch:
    """The batch that a run saved because a loss was not finite."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        keys = json.loads(file.metadata()["keys"])
    rows = {n.removeprefix("rows/"): v for n, v in tensors.items() if n.startswith("rows/")}
    found: dict[str, dict] = {"targets": {n: {} for n in rows}, "inputs": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        if group in found:
            task, _, array = rest.rpartition("/")
            found[group].setdefault(task, {})[array] = value
    return Batch(keys, tensors["video"], found["targets"], rows, found["inputs"])
