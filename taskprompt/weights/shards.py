"""Sharded checkpoints, as written by transformers: an index maps tensors to files."""

import json
import re
from pathlib import Path

from taskprompt.core.errors import CheckpointError

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\.[A-Za-z]+)")
LARGEST = 64 << 20  # bytes of an index


def is_index(path: Path) -> bool:
    """Whether it has the name of an index."""
    return path.name.endswith(".index.json")


def shards_of(index: Path) -> dict[str, str]:
    """Tensor -> its file in the folder of the index. Raises CheckpointError if the index is invalid."""
    try:
        if index.stat().st_size > LARGEST:
            raise ValueError("it is too large for an index")
        found = json.loads(index.read_text(encoding="utf-8"))
        shards = found["weight_map"]
        if not isinstance(shards, dict) or not shards:
            raise ValueError("its weight_map is not a dictionary of names and files")
        for name in shards.values():
            if not isinstance(name, str) or not name or Path(name).name != name or "\\" in name or "\0" in name:
                raise ValueError(f"it names the file {str(name)[:80]!r}, expected one in the same folder")
            if is_index(Path(name)):
                raise ValueError(f"it names the index {name[:80]!r} as a file of tensors")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{index}: is not an index of a checkpoint: {why}. Copy it again.") from None
    for name in dict.fromkeys(shards.values()):
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index}: {name} is missing in its folder. Copy all files that it names.")
    return shards


def refuse_shard(path: Path) -> None:
    """Raises CheckpointError if a file's name is that of one shard."""
    parts = SHARD.fullmatch(path.name)
    if parts is None or int(parts["count"]) < 2:
        return
    index = path.with_name(f"{parts['stem']}{parts['ending']}.index.json")
    todo = (
        f"Give {index}" if index.is_file() else f"Copy the others and {index.name} to its folder, and give the folder"
    )
    raise CheckpointError(f"{path}: is one of {int(parts['count'])} files of a checkpoint. {todo}.")
