"""What travels with a submitted job: the recipe, taskprompt itself, the modules of own kinds, and what else is named.

One zip, made here. Given a folder, Ray would leave out what a .gitignore names, and not say so."""

import ast
import importlib.util
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from taskprompt.core import plain_yaml
from taskprompt.core.errors import JobError
from taskprompt.runtime import start

LIMIT = 100 << 20  # bytes; Ray's dashboard takes no larger request
LEFT_OUT = {"__pycache__", ".git", ".venv"}
RECIPE, START = "submitted.yaml", "start_taskprompt.py"  # names in the package

Files = dict[str, Path]  # path in the package -> the file


def write_package(to: Path, recipe: dict[str, Any], ship: Iterable[str | Path] = ()) -> Path:
    """A zip of all that a job needs, the same bytes for the same content. Raises JobError where it is too large."""
    files: Files = {START: Path(str(start.__file__))}
    for name in ("taskprompt", *own_modules(recipe)):
        for root in _roots(name):
            _add(files, root, name if root.is_dir() else root.name)
    for path in map(Path, ship):
        _add(files, path, _shipped_as(path))
    _check_weights(files, recipe)
    _check_size(files)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(zipfile.ZipInfo(RECIPE), plain_yaml.dump(recipe))
        for name, path in sorted(files.items()):
            package.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return to


def own_modules(recipe: dict[str, Any]) -> list[str]:
    """The top-level modules of a recipe's own kinds, and those of the user's own that they import in turn."""
    waiting = [kind.split(":")[0].split(".")[0] for kind in _kinds(recipe) if ":" in kind]
    found: list[str] = []
    while waiting:
        name = waiting.pop()
        if name not in found and name != "taskprompt":
            found.append(name)
            waiting += [other for root in _roots(name) for other in _imports(root) if _is_own(other)]
    return sorted(found)


def _kinds(node: Any) -> Iterator[str]:
    if isinstance(node, dict) and isinstance(node.get("kind"), str):
        yield node["kind"]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    for part in parts:
        yield from _kinds(part)


def _roots(name: str) -> list[Path]:
    """The file of a top-level module, or the folders of a package (a namespace may have several)."""
    if name == "__main__":
        raise JobError("a kind lies in __main__, which cannot be sent. Put its class into a module of its own.")
    spec = importlib.util.find_spec(name)
    if spec is None or (spec.origin in ("built-in", "frozen")):
        return []
    folders = spec.submodule_search_locations
    return [Path(p) for p in folders] if folders is not None else [Path(str(spec.origin))]


def _is_own(name: str) -> bool:
    """Is it the user's, and not installed with Python or by a package?"""
    if name in sys.stdlib_module_names:
        return False
    return any({"site-packages", "dist-packages"}.isdisjoint(root.parts) for root in _roots(name))


def _imports(root: Path) -> set[str]:
    """Top-level names of all that a module, or the modules of a package, import."""
    found: set[str] = set()
    for file in [root] if root.is_file() else root.rglob("*.py"):
        try:
            tree = ast.parse(file.read_bytes() if file.suffix == ".py" else b"")
        except SyntaxError:  # a template perhaps; nothing can import it
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found


def _shipped_as(path: Path) -> str:
    """Below the working folder its path from there, so that a recipe's relative paths hold; its own name elsewhere."""
    if not path.exists():
        raise JobError(f"--ship {path}: there is no such file or folder. Give one that lies on this machine.")
    whole, here = path.resolve(), Path.cwd().resolve()
    return (whole.relative_to(here) if whole.is_relative_to(here) else Path(whole.name)).as_posix()


def _add(files: Files, root: Path, name: str) -> None:
    for path in _files(root):
        inner = Path(name, path.relative_to(root)).as_posix()
        if inner in (RECIPE, START) or not files.setdefault(inner, path).samefile(path):
            raise JobError(f"the package would hold two files as {inner!r}: {path} is one. Rename it, or ship it less.")


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(f for f in folders if f not in LEFT_OUT)
        yield from (Path(folder, n) for n in names if not n.endswith(".pyc") and Path(folder, n).is_file())


def _check_weights(files: Files, recipe: dict[str, Any]) -> None:
    """A relative path is looked for where a job starts: in the package."""
    place = (recipe.get("weights") or {}).get("path", "/")
    inner = PurePosixPath(place)
    if inner.is_absolute() or place.startswith("~") or "://" in place:
        return
    if not any(PurePosixPath(name).is_relative_to(inner) for name in files):
        raise JobError(
            f"weights.path {place}: is relative, and no such file is sent along. Add --ship {place}, or give an "
            "absolute path that all machines of the cluster see."
        )


def _check_size(files: Files) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    if (total := sum(sizes.values())) <= LIMIT:
        return
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    shown = ", ".join(f"{name} ({sizes[name] / 2**20:.1f} MB)" for name in largest)
    raise JobError(
        f"the job's package would hold {total / 2**20:.1f} MB in {len(sizes)} files, and a cluster takes "
        f"{LIMIT >> 20} MB. The largest: {shown}. Put data where the cluster's machines see it."
    )
