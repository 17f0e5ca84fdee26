"""A user's own kinds: 'package.module:Class' -> its module, imported only where its source defines such a class.

The name is checked first, then the module's file is found and parsed, not run. It must define the class, and the class
must depend on taskprompt, followed through imports and base classes. So a recipe can import plug-ins and their imports,
but no other installed module."""

import ast
import importlib
import keyword
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path
from types import ModuleType

from taskprompt.core.errors import SpecError, nearest

LONGEST = 300  # characters of a kind
MOST = 200  # names to follow from a class


def own_module(kind: str) -> tuple[ModuleType, str]:
    """The module of 'package.module:Class', imported, and the name of the class. Raises SpecError."""
    module_name, _, name = kind.partition(":")
    parts = module_name.split(".")
    if len(kind) > LONGEST or not all(p.isidentifier() and not keyword.iskeyword(p) for p in (*parts, name)):
        raise SpecError(f"kind {kind!r}: expected package.module:Class, names of Python joined by dots.")
    loaded = sys.modules.get(module_name)
    if isinstance(loaded, ModuleType):  # already run; `__main__` is a script or a notebook
        return loaded, name
    if parts[0] in sys.stdlib_module_names:
        raise SpecError(f"kind {kind!r}: {parts[0]!r} is a module of Python itself. Give your own another name.")
    if any(p.startswith("__") for p in parts) or (parts[0] == "taskprompt" and any(p[0] == "_" for p in parts)):
        raise SpecError(f"kind {kind!r}: the module is a private one. Name the module of a kind.")
    source = source_of(module_name)
    if source is None:
        raise SpecError(
            f"kind {kind!r}: there is no module {module_name!r} in {Path.cwd()} or on the Python path. "
            "Start in the folder of the module, or install its package."
        )
    _check_source(kind, source, name)
    if str(Path.cwd()) not in sys.path:  # permanently, for later imports of the module
        sys.path.append(str(Path.cwd()))
    importlib.invalidate_caches()
    return import_kind(module_name, kind), name


def _check_source(kind: str, source: "Source", name: str) -> None:
    classes = source.classes
    if name not in classes:
        known = ", ".join(classes) or "none"
        raise SpecError(
            f"kind {kind!r}: {source.file} defines no class {name!r}{nearest(name, classes)} Defined: {known}."
        )
    if not depends(source, name):
        raise SpecError(
            f"kind {kind!r}: the class {name!r} in {source.file} is not derived from a class of taskprompt, so it was "
            "not imported. Derive it from Task, Source, Backbone, Prompter, Balancer, Labeler or Tracker."
        )


def import_kind(module_name: str, kind: str) -> ModuleType:
    """Import the module of a kind. Raises SpecError if a package that it needs is missing, or its code fails."""
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SpecError(f"kind {kind!r} needs the package {error.name!r}, which is not installed.") from error
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise SpecError(f"kind {kind!r}: importing {module_name} failed: {type(error).__name__}: {text}.") from error


@dataclass
class Source:
    """The definitions and imports in a module's source, without running it."""

    module: str
    file: Path
    classes: list[str] = field(default_factory=list[str])
    uses: dict[str, set[str]] = field(default_factory=dict[str, set[str]])  # name -> names that its definition reads
    # name -> module, name in it or ''
    imported: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    stars: list[str] = field(default_factory=list[str])  # modules of `from module import *`


def depends(source: Source, name: str, seen: set[tuple[str, str]] | None = None) -> bool:
    """Whether the definition of a name depends on taskprompt. seen: names that were already visited."""
    seen = set() if seen is None else seen
    if (source.module, name) in seen or len(seen) >= MOST:
        return False
    seen.add((source.module, name))
    if name in source.imported:
        return _leads(*source.imported[name], seen)
    if name in source.uses:
        return any(depends(source, used, seen) for used in sorted(source.uses[name]))
    return any(_leads(star, name, seen) for star in source.stars)


def _leads(module: str, name: str, seen: set[tuple[str, str]]) -> bool:
    """The same for a name in another module; for any name in it, if the module itself was imported."""
    top = module.split(".")[0]
    if top == "taskprompt" or top in sys.stdlib_module_names:
        return top == "taskprompt"
    found = source_of(module)
    if found is not None and name and depends(found, name, seen):
        return True
    inner = source_of(f"{module}.{name}") if name else found
    return inner is not None and any(depends(inner, n, seen) for n in (*inner.classes, *inner.imported))


def source_of(module: str) -> Source | None:
    """The parsed source of a module; None if there is none. Raises SpecError if it is not Python."""
    try:
        file = find(module)
        return None if file is None else _read(module, file, file.stat().st_mtime_ns)
    except OSError:  # a folder on the path that may not be read
        return None


@lru_cache(maxsize=256)
def _read(module: str, file: Path, changed: int) -> Source:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpecError(f"module {module}: {file} cannot be read as Python: {error}.") from None
    source = Source(module, file)
    package = module if file.stem == "__init__" else module.rpartition(".")[0]
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef):
            source.classes.append(node.name)
            source.uses[node.name] = {n for part in (*node.bases, *node.decorator_list) for n in _names(part)}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                source.imported[local] = (alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            for alias in node.names:
                if alias.name == "*":
                    source.stars.append(origin)
                else:
                    source.imported[alias.asname or alias.name] = (origin, alias.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                source.uses |= {name: set(_names(node.value)) for name in _names(target)}
    return source


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Module-level statements, including those in `if` and `try`, excluding those of functions and classes."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = getattr(node, part, [])
                yield from _statements(
                    [s for h in inner for s in getattr(h, "body", [h])] if part == "handlers" else inner
                )


def _names(node: ast.AST) -> Iterator[str]:
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def _origin(node: ast.ImportFrom, package: str) -> str:
    """The module in `from x import y`; x may be relative."""
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def find(module: str) -> Path | None:
    """The file of a module, found as by an import, but without importing its parent packages."""
    top, *inner = module.split(".")
    finders = (f.find_spec for f in sys.meta_path if hasattr(f, "find_spec"))
    spec = next((s for find_spec in finders if (s := find_spec(top, None)) is not None), None)
    if spec is None:
        return _below([Path.cwd()], [top, *inner])
    if not inner:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(tuple(SOURCE_SUFFIXES)) else None
    folders = [Path(p) for p in spec.submodule_search_locations or ()]
    return _below(folders if spec.origin else [*folders, Path.cwd() / top], inner)  # no origin: a namespace package


def _below(folders: list[Path], parts: list[str]) -> Path | None:
    for i, part in enumerate(parts):
        if i == len(parts) - 1:
            files = (f for d in folders for f in (d / part / "__init__.py", d / f"{part}.py"))
            return next((f for f in files if f.is_file()), None)
        folders = [d / part for d in folders if (d / part).is_dir()]
    return None
