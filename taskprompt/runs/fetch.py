"""Copying a run into a local folder: only regular files of the run, written only below the folder."""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from taskprompt.core.errors import CheckpointError
from taskprompt.core.text import say
from taskprompt.runs.run import Run


def fetch(run: Run, folder: Path) -> Run:
    """Copy a run, with its selected checkpoint, into a new folder, atomically.

    Links out of the run, and other than regular files, are skipped and listed on standard error. Raises CheckpointError
    if the folder is not empty or cannot be written."""
    root, folder = run.path.resolve(), folder.absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise CheckpointError(f"{folder}: is {'not empty' if folder.is_dir() else 'a file'}. Choose another folder.")
    if folder.resolve().is_relative_to(root):
        raise CheckpointError(f"{folder}: is inside of the run. Choose a folder outside.")
    with suppress(CheckpointError):  # a run without checkpoint
        run.checkpoint()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}-", dir=folder.parent))
        try:
            for path in _files(root, root):
                to = draft / path.relative_to(root)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)
            draft.chmod(0o777 & ~_umask())
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be written: {error.strerror}. Nothing was written. Check permissions and disk space."
        ) from None
    return Run.open(folder)


def _files(folder: Path, root: Path) -> Iterator[Path]:
    """The regular files below a folder of the run."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        path = Path(entry.path)
        if entry.is_symlink():
            target = path.resolve()
            if target.is_relative_to(root) and target.is_file():
                yield path
            else:
                say(f"skipped: {path.relative_to(root)}: a link out of the run, or to a folder", file=sys.stderr)
        elif entry.is_dir(follow_symlinks=False):
            stub = entry.name.startswith("step-") and not any(path.glob("*.safetensors"))
            if not stub:  # a checkpoint whose tensors were not downloaded
                yield from _files(path, root)
        elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            yield path
        else:
            say(f"skipped: {path.relative_to(root)}: not a regular file", file=sys.stderr)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
