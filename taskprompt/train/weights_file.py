"""Checkpoints of elsewhere as files: safetensors, or what torch.save wrote. Nothing is unpickled that could run."""

import json
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from taskprompt.core.errors import CheckpointError
from taskprompt.core.weights import Tensors
from taskprompt.train.storage import is_uri

# Where code bases put the weights in a dictionary that holds more: SlowFast; mmaction2, timm; others.
INNER = ("model_state", "state_dict", "model", "module")
WRAPPERS = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile, before every name
EXPECTED = "Expected safetensors, or a file that torch.save wrote"
NOTE = "taskprompt"  # in a safetensors file's metadata: what `convert` says of it


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds: the tensors by their names there, and the backbone that `convert` made it for."""

    tensors: Tensors
    backbone: dict[str, Any] = field(default_factory=dict)  # as in a recipe; empty: `convert` did not write it


def read_weights(place: str | Path) -> Found:
    """The tensors in a checkpoint's file, or in a run's folder checkpoints/step-N: averaged ones where it keeps them.

    Raises CheckpointError, in one line, where there is no such file, where it is damaged or something else, or where
    reading it would mean running code that it brings along."""
    path = _file(place)
    with open(path, "rb") as file:
        start = file.read(16)
    if not start:
        raise CheckpointError(f"{path}: is empty. Copy it again.")
    if start[8:9] == b"{" and start[:2] != b"PK":
        found = _read_safetensors(path)
    elif start[:2] == b"PK" or start[:1] == b"\x80":
        found = Found(_plain(_read_pickle(path, zipped=start[:2] == b"PK"), path))
    else:
        raise CheckpointError(f"{path}: is no checkpoint: it begins with {start!r}. {EXPECTED}. Copy it again.")
    if not found.tensors:
        raise CheckpointError(f"{path}: holds no tensors. {EXPECTED}, with the weights of a model.")
    return Found(_unwrapped(found.tensors), found.backbone)


def _file(place: str | Path) -> Path:
    if is_uri(place):
        raise CheckpointError(
            f"{place}: is an address, and weights are read from files. Copy it here, and give its path."
        )
    path = Path(place).expanduser()
    if path.is_dir():
        inside = [path / name for name in ("ema.safetensors", "model.safetensors") if (path / name).is_file()]
        if not inside:
            raise CheckpointError(
                f"{path}: is a folder without model.safetensors. Give a file, or a run's folder checkpoints/step-N."
            )
        return inside[0]
    if not path.is_file():
        where = "" if path.is_absolute() else f", looked for from {Path.cwd()}"
        raise CheckpointError(f"{path}: there is no such file{where}. Give the path of a checkpoint.")
    return path


def _read_safetensors(path: Path) -> Found:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Found(tensors, dict(json.loads((file.metadata() or {}).get(NOTE, "{}"))))
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: is damaged or cut off: {_words(error)}. Copy it again.") from None


def _read_pickle(path: Path, *, zipped: bool) -> Any:
    if zipped:
        _check_zip(path)
    try:
        # VideoMAE's pretraining saves its options beside the weights: a Namespace has attributes and no code.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals([Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a damaged pickle raises anything
        text = str(error)
        if found := re.search(r"(?:unsupported GLOBAL|Unsupported global: GLOBAL) ([\w.]+)", text):
            raise CheckpointError(
                f"{path}: holds more than tensors and plain data: {found[1]}. Such a file can run code, so it was not "
                "read. Look for it as safetensors; or let whoever trusts its maker save the state_dict in it alone."
            ) from None
        if found := re.search(r"Unsupported operand \d+", text):
            raise CheckpointError(
                f"{path}: is damaged, or a pickle that torch.save did not write ({found[0]}). {EXPECTED}."
            ) from None
        raise CheckpointError(f"{path}: is damaged or cut off: {_words(error)}. Copy it again.") from None


def _check_zip(path: Path) -> None:
    """torch.save writes a zip with a data.pkl; TorchScript one with code too."""
    try:
        names = zipfile.ZipFile(path).namelist()
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        OSError,
        ValueError,
    ) as error:  # all that a damaged one makes of it
        raise CheckpointError(f"{path}: is damaged or cut off: {_words(error)}. Copy it again.") from None
    inside = {name.rpartition("/")[2] for name in names}
    if "data.pkl" not in inside:
        raise CheckpointError(f"{path}: is a zip of other things, such as {min(names, default='none')}. {EXPECTED}.")
    if "constants.pkl" in inside:
        raise CheckpointError(
            f"{path}: is a TorchScript archive, which holds code, so it was not read. Save its state_dict() alone."
        )


def _plain(data: Any, path: Path) -> Tensors:
    """The innermost dictionary of tensors."""
    keys: list[Any] | None = None
    while isinstance(data, Mapping):
        keys = [*data]
        inner = [data[name] for name in INNER if isinstance(data.get(name), Mapping)]
        if not inner:
            tensors = {k: v for k, v in data.items() if isinstance(k, str) and isinstance(v, Tensor)}
            if tensors:
                return tensors
            break
        data = inner[0]
    what = f"a dictionary of {', '.join(map(str, keys[:6])) or 'nothing'}" if keys is not None else type(data).__name__
    raise CheckpointError(f"{path}: holds no tensors by name: found {what}, expected one of names and tensors.")


def _unwrapped(tensors: Tensors) -> Tensors:
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            return _unwrapped({name.removeprefix(wrapper): tensor for name, tensor in tensors.items()})
    return tensors


def _words(error: Exception) -> str:
    """What went wrong, in short: the first sentence, without line breaks."""
    text = " ".join(str(error).split())
    return text.split(". ")[0].rstrip(".")[:200] or type(error).__name__
