"""What files hold, as hashes: an answer depends on a model's weights, not on where they lie."""

import hashlib
from collections.abc import Collection
from pathlib import Path

# Ends of the files that a model's answers depend on: weights of any format, configurations, tokenizers, templates.
MODEL = (".json", ".jinja", ".safetensors", ".bin", ".pt", ".pth", ".model", ".txt", ".tiktoken", ".gguf", ".npz")


def digest(path: Path) -> str:
    """What a file holds, in 64 letters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Of the files of a folder that end so, in the order of their names."""
    return [digest(p) for p in sorted(folder.iterdir()) if p.suffix in suffixes and p.is_file()]
