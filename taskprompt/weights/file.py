"""Checkpoint files: safetensors, or files of torch.save, in one file or in shards. No code in them is ever run."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from taskprompt.core.errors import CheckpointError
from taskprompt.core.layout import Tensors
from taskprompt.core.normalization import run_of
from taskprompt.runs import checkpoint
from taskprompt.runs.place import is_uri
from taskprompt.weights.pickle import Reference
from taskprompt.weights.shards import INDEXES, is_index, refuse_shard, shards_of
from taskprompt.weights.torch_files import TorchFile, short

# Keys of the weights in dictionaries with more entries: SlowFast; mmaction2, timm; others.
INNER = ("model_state", "state_dict", "model", "module")
WRAPPERS = ("module.", "_orig_mod.")  # name prefixes of DistributedDataParallel and torch.compile
EXPECTED = "Expected safetensors, or a file of torch.save"
A_DICTIONARY = "a dictionary of names and tensors"
NOTE, MISSING = "taskprompt", "taskprompt_missing"  # keys of `convert` in a safetensors file's metadata
# File names of weights in a folder: a run's, transformers' and timm's, open_clip's. The first existing one is read.
IN_FOLDERS = (
    "ema.safetensors",
    "model.safetensors",
    INDEXES[0],
    "pytorch_model.bin",
    INDEXES[1],
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
LONGEST = 500  # characters of a tensor's name


@dataclass(frozen=True, slots=True)
class Found:
    """The content of a file: tensors by their original names, and metadata of the model."""

    tensors: Tensors
    backbone: dict[str, Any] = field(default_factory=dict)  # as in a recipe; empty: not written by `convert`
    entry: str = ""  # of the file's dictionary, or of the run's checkpoint, that the tensors are from
    others: tuple[str, ...] = ()  # other entries with weights
    missing: tuple[str, ...] = ()  # tensors of the encoder that `convert` did not find: randomly initialised
    config: str = ""  # the training configuration in SlowFast's files, as yaml


def newest(place: str | Path) -> str | Path:
    """The newest checkpoint of a run, if its folder is given; any other path unchanged.

    Raises CheckpointError for a run that has none."""
    folder = Path(os.path.expanduser(place))
    if is_uri(place) or run_of(folder) != folder or any((folder / name).is_file() for name in IN_FOLDERS):
        return place
    found = checkpoint.latest(folder / "checkpoints")
    if found is None:
        raise CheckpointError(f"{folder}: this run has no checkpoint yet. Train it until its first checkpoint.")
    return found


def read_weights(place: str | Path, entry: str | None = None) -> Found:
    """The tensors in a checkpoint's file or folder; for a run's folder those of its newest checkpoint. Averaged weights
    are read if a run's checkpoint has them.

    entry: which of several sets of weights, such as state_dict_ema; None: the first of `INNER`, or the only one.

    Raises CheckpointError, in one line, if the file is missing, damaged or not a checkpoint, or if reading it would run
    code in it."""
    path, others = _file(newest(place), entry)
    if is_index(path):
        shards = shards_of(path)
        parts = {shard: _read(path.parent / shard, entry) for shard in dict.fromkeys(shards.values())}
        lost = [name for name, shard in shards.items() if name not in parts[shard].tensors]
        if lost:
            raise CheckpointError(
                f"{path}: lists {_name(lost[0])} in {shards[lost[0]]}, which lacks it. Copy all files again."
            )
        found = Found({name: parts[shard].tensors[name] for name, shard in shards.items()})
    else:
        refuse_shard(path)
        found = _read(path, entry)
    if not found.tensors:
        raise CheckpointError(f"{path}: holds no tensors. {EXPECTED}, with the weights of a model.")
    if others:
        found = replace(found, entry=path.stem, others=others)
    if entry not in (None, found.entry):
        raise CheckpointError(f"{path}: has one set of weights, not named {_name(entry)}. Remove `entry`.")
    return replace(found, tensors=_unwrapped(found.tensors))


def _read(path: Path, entry: str | None) -> Found:
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}. Give a readable file.") from None
    if not start:
        raise CheckpointError(f"{path}: is empty. Copy it again.")
    if start[8:9] == b"{" and start[:2] != b"PK":
        found = _read_safetensors(path)
    elif start[:2] == b"PK" or start[:1] == b"\x80":
        found = _chosen(TorchFile(path, zipped=start[:2] == b"PK", expected=EXPECTED), entry)
    else:
        raise CheckpointError(f"{path}: is not a checkpoint: it begins with {start!r}. {EXPECTED}. Copy it again.")
    for name in found.tensors:
        if not name.isprintable() or len(name) > LONGEST:
            raise CheckpointError(
                f"{path}: has a tensor called {_name(name)}, expected printable names of at most {LONGEST} characters."
            )
    return found


def _file(place: str | Path, entry: str | None) -> tuple[Path, tuple[str, ...]]:
    """The file to read; and the other sets of weights, if a run's folder also has averaged weights."""
    if is_uri(place):
        raise CheckpointError(
            f"{place}: is a URI, and weights are read from local files. Copy it here, and give its path."
        )
    path = Path(os.path.expanduser(place))
    if os.path.isdir(path):
        inside = [name for name in IN_FOLDERS if (path / name).is_file()]
        of_run = [Path(name).stem for name in inside[:2]] if inside[:2] == list(IN_FOLDERS[:2]) else []
        if entry in of_run:
            return path / f"{entry}.safetensors", tuple(n for n in of_run if n != entry)
        if not inside:
            raise CheckpointError(
                f"{path}: is a folder without model.safetensors. Give a file, or a run's folder checkpoints/step-N."
            )
        return path / inside[0], tuple(of_run[1:])
    if not os.path.isfile(path):
        where = "" if path.is_absolute() else f", looked for from {Path.cwd()}"
        raise CheckpointError(f"{path}: there is no such file{where}. Give the path of a checkpoint.")
    return path, ()


def _read_safetensors(path: Path) -> Found:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = file.metadata() or {}
            backbone, missing = json.loads(notes.get(NOTE, "{}")), json.loads(notes.get(MISSING, "[]"))
            if not isinstance(backbone, dict) or not isinstance(missing, list):
                raise ValueError("its metadata are not from convert")
            return Found(tensors, backbone, missing=tuple(name for name in missing if isinstance(name, str)))
    except RecursionError:
        raise CheckpointError(
            f"{path}: is damaged or cut off: its metadata are nested too deep. Copy it again."
        ) from None
    except (OSError, SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: is damaged or cut off: {short(error)}. Copy it again.") from None


def _chosen(file: TorchFile, entry: str | None) -> Found:
    """One set of weights in a file of torch.save; of several, the requested or the first one."""
    path, data = file.path, file.data
    if not isinstance(data, Mapping):
        what = type(data).__name__.strip("_").lower()
        raise CheckpointError(
            f"{path}: has no named tensors: found {what}, expected a dictionary of names and tensors."
        )
    sets = {name: inner for name, value in data.items() if isinstance(name, str) and (inner := _innermost(value))}
    if own := _references(data):  # a state dict, possibly with other entries
        sets = {**sets, "": own}
    first = next((name for name in (*INNER, "") if name in sets), None)
    chosen = entry if entry is not None else first if first is not None else next(iter(sets), None)
    known = ", ".join(_name(name) for name in list(sets)[:8] if name)
    if chosen is None:
        keys = ", ".join(_name(key) for key in list(data)[:6]) or "nothing"
        raise CheckpointError(f"{path}: has no named tensors: found a dictionary of {keys}, expected {A_DICTIONARY}.")
    if chosen not in sets:
        raise CheckpointError(f"{path}: has no weights named {_name(chosen)}. It has: {known or 'one unnamed set'}.")
    if entry is None and first is None and len(sets) > 1:
        raise CheckpointError(f"{path}: holds several sets of weights: {known}. Choose one: weights.entry, --entry.")
    tensors = {}
    for name, reference in sets[chosen].items():
        if reference.quantised:
            raise CheckpointError(f"{path}: is quantised, such as {_name(name)}. Use the file before quantisation.")
        tensors[name] = file.tensor(_name(name), reference)
    config = data.get("cfg", "")
    others = tuple(name for name in sets if name and name != chosen)
    return Found(tensors, {}, chosen, others, (), config if isinstance(config, str) else "")


def _innermost(value: Any) -> dict[str, Reference]:
    """The named tensors in a dictionary, or in the dictionary of weights within it."""
    for _ in range(4):
        if not isinstance(value, Mapping):
            return {}
        inner = [value[name] for name in INNER if isinstance(value.get(name), Mapping)]
        if not inner:
            return _references(value)
        value = inner[0]
    return {}


def _references(data: Mapping[Any, Any]) -> dict[str, Reference]:
    return {name: value for name, value in data.items() if isinstance(name, str) and isinstance(value, Reference)}


def _unwrapped(tensors: Tensors) -> Tensors:
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in tensors)), None):
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _name(name: Any) -> str:
    """A name for messages: in one line, and short."""
    text = name if isinstance(name, str) else type(name).__name__
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 80 else f"{text[:80]}..."
