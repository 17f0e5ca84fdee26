"""The videos below a folder, with handling of links and unusual names."""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from taskprompt.core.errors import SourceError

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".ogv", ".avi", ".divx", ".wmv", ".asf", ".flv", ".gif"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".mxf", ".h264", ".hevc"),
)
OWN = ".taskprompt."  # in the names of files that `predict` writes


def readable(path: str) -> Path:
    """The folder, absolute. Raises SourceError if it cannot be listed."""
    folder = Path(path).expanduser().absolute()
    try:
        with os.scandir(folder):
            return folder
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"path {path!r}: the folder cannot be read: {reason}. Give a folder of videos.") from None


def videos(root: Path) -> Iterator[Path]:
    """Every video below the folder, each once.

    A folder that is reached by several links is read at its real path, if that is below, else by the first link. Links
    to a parent folder are not followed. Files written by `predict` are skipped."""
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
    """The contents of a folder in the order of names, without hidden files. Raises SourceError if it is not
    readable."""
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(
            f"{folder}: the folder cannot be read: {error.strerror}. Change its permissions or move it away."
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # cyclic links
        return False


def _identity(folder: str) -> tuple[int, int]:
    try:
        found = os.stat(folder)
    except OSError as error:
        raise SourceError(f"{folder}: the folder cannot be read: {error.strerror}. Change its permissions.") from None
    return found.st_dev, found.st_ino


def stored_path(file: Path) -> str:
    """A path as text for Arrow: one that is not UTF-8 is marked by a zero byte, which no path contains."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return "\0" + os.fsencode(file).decode("latin-1")
    return str(file)


def real_path(text: str) -> Path:
    """The inverse of `stored_path`."""
    return Path(os.fsdecode(text[1:].encode("latin-1")) if text.startswith("\0") else text)


def as_text(name: str) -> str:
    r"""A name as valid text: bytes that are not UTF-8 become \xff, the rest is unchanged."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
