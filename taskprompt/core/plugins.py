"""Kinds that installed packages declare by entry points: their metadata is read, and nothing is imported."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions

from taskprompt.core.errors import SpecError

GROUP = re.compile(r"^\s*\[\s*taskprompt\.", re.MULTILINE)  # in a package's entry_points.txt


@dataclass(frozen=True, slots=True)
class Plugin:
    """A kind that a package declares."""

    home: str  # the group of entry points, which is called as the interface's `home`: taskprompt.tasks
    kind: str  # the name of the entry point
    place: str  # of its class: package.module:Class
    package: str  # as pip knows it


def plugins(home: str) -> dict[str, tuple[Plugin, ...]]:
    """kind -> all packages' entry points for it. Raises SpecError for entry points that cannot be read."""
    found: dict[str, tuple[Plugin, ...]] = {}
    for plugin in _installed(tuple(sys.path)):
        if plugin.home == home:
            found[plugin.kind] = (*found.get(plugin.kind, ()), plugin)
    return found


def plugin_of(home: str, place: str) -> Plugin | None:
    """The plug-in of a class, if only one package declares its kind."""
    return next((found[0] for found in plugins(home).values() if len(found) == 1 and found[0].place == place), None)


def chosen(home: str, kind: str, builtin: bool) -> Plugin | None:
    """The plug-in of this kind; None if only taskprompt has it. Raises SpecError if several packages have it.

    builtin: taskprompt itself has a kind of this name."""
    found = plugins(home).get(kind, ())
    if len(found) + builtin > 1:
        owners = [*(["taskprompt"] if builtin else []), *(plugin.package for plugin in found)]
        places = " or ".join(plugin.place for plugin in found)
        raise SpecError(
            f"kind {kind!r}: is declared by {' and by '.join(owners)}, expected one. Uninstall the other, or name the "
            f"class: {places}."
        )
    return found[0] if found else None


@lru_cache(maxsize=8)
def _installed(path: tuple[str, ...]) -> tuple[Plugin, ...]:
    return tuple(sorted(_read(path), key=lambda plugin: (plugin.kind, plugin.package)))


def _read(path: tuple[str, ...]) -> Iterator[Plugin]:
    """If a package is installed twice, the first on the path is used, as for imports."""
    seen: set[str] = set()
    for package in distributions(path=list(path)):
        if not GROUP.search(package.read_text("entry_points.txt") or ""):
            continue
        name = package.metadata["Name"] or "without a name"
        if (known := re.sub(r"[-_.]+", "-", name).lower()) in seen:
            continue
        seen.add(known)
        try:
            for entry in package.entry_points:
                if entry.group.startswith("taskprompt."):
                    yield Plugin(entry.group, entry.name, entry.value.split("[")[0].strip(), name)
        except (TypeError, ValueError) as error:
            raise SpecError(
                f"package {name}: its entry points cannot be read: {error}. Install it again, or uninstall it."
            ) from None
