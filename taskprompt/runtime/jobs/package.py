"""The package of a submitted job: the recipe, taskprompt itself, modules of own kinds, and files given by --ship.

It is one zip, since Ray would silently omit files in .gitignore from a folder. Omitted files (keys, links out of a
folder) are listed together with the sent ones."""

import ast
import importlib.util
import json
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from taskprompt.core.errors import JobError
from taskprompt.core.normalization import files_beside, run_of
from taskprompt.core.plugins import plugins
from taskprompt.core.secrets import has_key
from taskprompt.core.text import one_line
from taskprompt.recipe import plain_yaml
from taskprompt.runs import checkpoint
from taskprompt.runtime.jobs import shipping, start

LIMIT = 100 << 20  # bytes; limit of a request to Ray's dashboard
LARGE = 10 << 20  # bytes above which a file is listed with its size
SINGLY = 40  # files of a folder to list by name; if there are more, their number
RECIPE, START, PLUGINS = "submitted.yaml", "start_taskprompt.py", "plugins.json"  # names in the package

Files = dict[str, Path]  # path in the package -> the file


@dataclass(frozen=True, slots=True)
class Contents:
    """The files to send, and the omitted ones."""

    recipe: dict[str, Any]
    files: Files = field(default_factory=dict)
    omitted: dict[str, str] = field(default_factory=dict)  # path of an omitted file in the package -> reason
    plugins: dict[str, str] = field(default_factory=dict)  # kind -> the installed package that declares it

    def lines(self) -> list[str]:
        """The list for the user: own files by name; for taskprompt and large folders, the number of files."""
        sizes = {name: path.stat().st_size for name, path in self.files.items()}
        folders = Counter(_group(name) for name in sizes)
        told = [
            f"sends {len(sizes) + 1 + bool(self.plugins)} files, {sum(sizes.values()) / 2**20:.1f} MB:",
            f"  {RECIPE}",
        ]
        for folder, count in sorted(folders.items()):
            names = sorted(n for n in sizes if _group(n) == folder)
            if folder == "taskprompt" or count > SINGLY:
                size = sum(sizes[n] for n in names) / 2**20
                told.append(f"  {folder or '.'}/: {count} files, {size:.1f} MB")
            else:
                told += [f"  {n}" for n in names if sizes[n] <= LARGE]
            told += [f"  {n}: large, {sizes[n] / 2**20:.0f} MB" for n in names if sizes[n] > LARGE]
        told += [f"  not sent: {name}: {why}" for name, why in sorted(self.omitted.items())]
        told += [f"  expected on the cluster: package {p}, of kind {k}" for k, p in sorted(self.plugins.items())]
        return [one_line(line) if not line.startswith("  ") else "  " + one_line(line) for line in told]


def _group(name: str) -> str:
    return "taskprompt" if name.startswith("taskprompt/") else str(PurePosixPath(name).parent)


def contents(recipe: dict[str, Any], ship: Iterable[str | Path] = ()) -> Contents:
    """The files of a job. Raises JobError if they are too large, or if --ship names a file with keys."""
    _check_keys(recipe)
    found = Contents(recipe, {START: Path(str(start.__file__))}, plugins=dict(_plugins(recipe)))
    for name in ("taskprompt", *own_modules(recipe)):
        for root in _roots(name):
            _add(found, root, name if root.is_dir() else root.name)
    for path in map(Path, ship):
        name = _shipped_as(path)
        why = "is a folder of tools or keys" if path.resolve().name in shipping.LEFT_OUT else ""
        if why := why or (shipping.why_not(path) if path.is_file() else ""):
            raise JobError(f"--ship {path}: {why}. Set keys in the environment of the cluster, never in a job.")
        _add(found, path, name)
    _add_beside_weights(found, recipe)
    _check_size(found.files)
    return found


def write_package(to: Path, recipe: dict[str, Any], ship: Iterable[str | Path] = ()) -> Path:
    """Write a zip of a job's files, deterministically. Raises JobError like `contents`."""
    return pack(to, contents(recipe, ship))


def pack(to: Path, found: Contents) -> Path:
    """Write the zip. Raises JobError if a file cannot be read."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(zipfile.ZipInfo(RECIPE), plain_yaml.dump(found.recipe))
        if found.plugins:
            package.writestr(zipfile.ZipInfo(PLUGINS), json.dumps(found.plugins, sort_keys=True))
        for name, path in sorted(found.files.items()):
            try:
                data = path.read_bytes()
            except OSError as error:
                raise JobError(
                    f"{path}: cannot be read: {error.strerror}. Fix its permissions, or do not ship it."
                ) from None
            package.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return to


def own_modules(recipe: dict[str, Any]) -> list[str]:
    """The top-level modules of a recipe's own kinds, and the user's own modules that they import, transitively."""
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


def _plugins(recipe: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kinds that installed packages declare, each with its package: these are not sent, but expected on the cluster."""
    for field_name, node in recipe.items():
        home = {"held_out": "sources"}.get(field_name, field_name if field_name.endswith("s") else f"{field_name}s")
        announced = plugins(f"taskprompt.{home}")
        yield from ((kind, announced[kind][0].package) for kind in _kinds(node) if kind in announced)


def _roots(name: str) -> list[Path]:
    """The file of a top-level module, or the folders of a package (a namespace may have several)."""
    if name == "__main__":
        raise JobError("a kind is defined in __main__, which cannot be sent. Move its class into a module.")
    spec = importlib.util.find_spec(name)
    if spec is None or (spec.origin in ("built-in", "frozen")):
        return []
    folders = spec.submodule_search_locations
    return [Path(p) for p in folders] if folders is not None else [Path(str(spec.origin))]


def _is_own(name: str) -> bool:
    """Whether it is the user's own module, not installed with Python or a package."""
    if name in sys.stdlib_module_names:
        return False
    return any({"site-packages", "dist-packages"}.isdisjoint(root.parts) for root in _roots(name))


def _imports(root: Path) -> set[str]:
    """Top-level names of all imports in a module, or in the modules of a package."""
    found: set[str] = set()
    for file in [root] if root.is_file() else root.rglob("*.py"):
        try:
            tree = ast.parse(file.read_bytes() if file.suffix == ".py" else b"")
        except SyntaxError:  # perhaps a template; it cannot be imported
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found


def _shipped_as(path: Path) -> str:
    """The path relative to the working directory, so that a recipe's relative paths stay valid; else its own name."""
    if not path.exists():
        raise JobError(f"--ship {path}: there is no such file or folder on this machine. Correct the path.")
    whole, here = path.resolve(), Path.cwd().resolve()
    return (whole.relative_to(here) if whole.is_relative_to(here) else Path(whole.name)).as_posix()


def _add(contents: Contents, root: Path, name: str) -> None:
    for found in shipping.files(root):
        path = found.path
        inner = Path(name, path.relative_to(root)).as_posix()
        if found.why:
            if path.suffix == ".py" and found.why == shipping.HOLDS_KEYS:
                raise JobError(f"{path}: {found.why}, so it cannot be sent. Read the key from the environment.")
            contents.omitted[inner] = found.why
        elif inner in (RECIPE, START, PLUGINS) or not contents.files.setdefault(inner, path).samefile(path):
            raise JobError(
                f"the package would hold two files as {inner!r}: {path} is one. Rename it, or do not ship it."
            )


def _check_keys(recipe: Any, at: str = "") -> None:
    """Reject keys in a recipe, which is sent with its variables expanded."""
    if isinstance(recipe, str) and has_key(recipe):
        raise JobError(
            f"{at}: {recipe}: contains a key, which would be sent and stored. Set it in the cluster's environment."
        )
    parts = recipe.items() if isinstance(recipe, dict) else enumerate(recipe) if isinstance(recipe, list) else ()
    for name, part in parts:
        _check_keys(part, f"{at}.{name}" if at else str(name))


def _add_beside_weights(contents: Contents, recipe: dict[str, Any]) -> None:
    """Add the files next to the weights that state their mean and std. A relative path is resolved in the package.
    Raises JobError if the weights are not in it."""
    place = (recipe.get("weights") or {}).get("path", "/")
    inner = PurePosixPath(place)
    if inner.is_absolute() or place.startswith("~") or "://" in place:
        return
    whole = run_of(place) == Path(place)  # a run's folder: the weights are in its checkpoints
    where = inner / "checkpoints" if whole else inner
    if not any(PurePosixPath(name).is_relative_to(where) for name in contents.files):
        step = checkpoint.latest(Path(place, "checkpoints")) if whole else None
        raise JobError(
            f"weights.path {place}: is relative, and no such file is sent. Add --ship {step or place}, or give "
            "an absolute path that all machines of the cluster share."
        )
    for path in files_beside(place):
        if path.resolve().is_relative_to(Path.cwd().resolve()):
            _add(contents, path, Path(os.path.relpath(path)).as_posix())


def _check_size(files: Files) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    if (total := sum(sizes.values())) <= LIMIT:
        return
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    shown = ", ".join(f"{name} ({sizes[name] / 2**20:.1f} MB)" for name in largest)
    raise JobError(
        f"the job's package would hold {total / 2**20:.1f} MB in {len(sizes)} files, and the limit is "
        f"{LIMIT >> 20} MB. The largest: {shown}. Put data on storage that the cluster can read."
    )
