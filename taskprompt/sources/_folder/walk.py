"""The videos below a folder, whatever links and names it holds."""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from taskprompt.core.errors import SourceError

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".ogv", ".avi", ".divx", ".wmv", ".asf", ".flv", ".gif"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".mxf", ".h264", ".hevc"),
)
OWN = ".taskprompt."  # in the names of all that `predict` writes


def readable(path: str) -> Path:
    """The folder, absolute. Raises SourceError where it cannot be listed."""
    folder = Path(path).expanduser().absolute()
    try:
        with os.scandir(folder):
            return folder
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"path {path!r}: the folder cannot be read: {reason}. Give a folder of videos.") from None


def videos(root: Path) -> Iterator[Path]:
    """Every video below the folder, each once.

    A folder that links reach in several ways is read where it really lies, if that is below, and else by the first
    link. Links to a folder above lead out of the data, and are left. So is what `predict` wrote."""
    seen = {_identity(str(parent)) for parent in root.resolve().parents}
    links: deque[str] = deque()
    folders = deque([str(root)])
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        identity = _identity(folder)
        if identity in seen:
            continue
        seen.add(identity)
        for entry in entries(folder):
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in VIDEOS and OWN not in entry.name:
                yield Path(entry.path)


def subfolders(folder: Path) -> Iterator[Path]:
    """The folders in a folder, in the order of their names."""
    return (Path(entry.path) for entry in entries(str(folder)) if _is_folder(entry))


def entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds, in the order of names, without hidden files. Raises SourceError where it is locked."""
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(
            f"{folder}: the folder cannot be read: {error.strerror}. Unlock it or move it away."
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _identity(folder: str) -> tuple[int, int]:
    try:
        found = os.stat(folder)
    except OSError as error:
        raise SourceError(f"{folder}: the folder cannot be read: {error.strerror}. Unlock it.") from None
    return found.st_dev, found.st_ino


def stored_path(file: Path) -> str:
    """A path as text that Arrow can hold: one that is no UTF-8 is marked by a zero byte, which no path holds."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return "\0" + os.fsencode(file).decode("latin-1")
    return str(file)


def real_path(text: str) -> Path:
    """The path that `stored_path` made the text of."""
    return Path(os.fsdecode(text[1:].encode("latin-1")) if text.startswith("\0") else text)


def as_text(name: str) -> str:
    r"""A name that Arrow and files can hold: bytes that are no UTF-8 as \xff, all else as it is."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
