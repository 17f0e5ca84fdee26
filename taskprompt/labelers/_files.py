"""Hashes of files: an answer depends on the content of a model's files, not on their path."""

import hashlib
from collections.abc import Collection
from pathlib import Path

# Suffixes of files that a model's answers depend on: weights, configurations, tokenizers, templates.
MODEL = (".json", ".jinja", ".safetensors", ".bin", ".pt", ".pth", ".model", ".txt", ".tiktoken", ".gguf", ".npz")


def digest(path: Path) -> str:
    """Hash of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Hashes of a folder's files with these suffixes, in the order of their names."""
    return [digest(p) for p in sorted(folder.iterdir()) if p.suffix in suffixes and p.is_file()]
