"""Write the tables of recipes.md and sweeps.md, from the comments on fields, and the table of packages in design.md.

Run it from the repository's root after a change of a spec: `.venv/bin/python docs/make_fields.py`."""

import ast
import inspect
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from taskprompt.core.augment import Augment
from taskprompt.core.clip import ClipSpec
from taskprompt.core.source import Table
from taskprompt.core.spec import Spec, builtin_kinds, resolve
from taskprompt.recipe.recipe import Recipe, Stage, Test
from taskprompt.recipe.runtime import Runtime
from taskprompt.recipe.schema import interfaces, one_line
from taskprompt.recipe.weights import Weights
from taskprompt.sweeps.sweep import Asha, Range, Sweep

sys.path.append(str(Path(__file__).parents[1] / "tests" / "house"))
import packages

PAGE = Path(__file__).with_name("recipes.md")
DESIGN = Path(__file__).with_name("design.md")
SWEEPS = Path(__file__).with_name("sweeps.md")
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
PARTS: dict[str, type[Spec]] = {
    "The recipe": Recipe,
    "`clip`": ClipSpec,
    "`augment`": Augment,
    "`weights`": Weights,
    "`tables` of a source, each": Table,
    "`test`": Test,
    "`stages`, each": Stage,
    "`runtime`": Runtime,
}
OF_SWEEPS: dict[str, type[Spec]] = {"The sweep": Sweep, "`search`, each": Range, "`asha`": Asha}


def sweep_text() -> str:
    """The tables of a sweep, as markdown."""
    return "\n".join(section(3, title, spec) for title, spec in OF_SWEEPS.items())


def text() -> str:
    """All tables of a recipe, as markdown."""
    parts = [section(3, title, spec) for title, spec in PARTS.items()]
    for interface in interfaces():
        common = tuple(interface.model_fields)
        parts.append(f"### Kinds of {interface.__name__.lower()}\n")
        if common:
            parts.append("Fields of every kind:\n\n" + table(interface, common))
        parts.extend(of_kind(kind, resolve(kind, interface), common) for kind in builtin_kinds(interface))
    return "\n".join(parts)


def of_kind(kind: str, spec: type[Spec], common: tuple[str, ...]) -> str:
    """One kind's own fields, those that it declares anew, and the specs that lie within its fields."""
    own = tuple(name for name in spec.model_fields if name not in common or name in comments(spec))
    head = f"#### `kind: {kind}`\n\n{one_line(spec)}\n"
    inner = [section(5, f"`{name}` of `{kind}`, each", part) for name, part in nested(spec)]
    return "\n".join([head, table(spec, own) if own else "No fields of its own.\n", *inner])


def section(level: int, title: str, spec: type[Spec]) -> str:
    """A heading, the spec's sentence, and its fields."""
    return f"{'#' * level} {title}\n\n{one_line(spec)}\n\n{table(spec, tuple(spec.model_fields))}"


def table(spec: type[Spec], names: tuple[str, ...]) -> str:
    """One line a field: name, type, default, meaning. Raises KeyError where a field has no comment."""
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name in names:
        owner = next(c for c in spec.__mro__ if name in vars(c).get("__annotations__", {}))
        annotation, comment = comments(owner)[name]
        if not comment:
            raise KeyError(f"{owner.__name__}.{name} has no comment beside it")
        cells = (f"`{name}`", f"`{annotation}`", default(spec, name), comment)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def default(spec: type[Spec], name: str) -> str:
    """A field's default as a recipe would write it."""
    field = spec.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Spec):
        return "`{kind: fixed}`" if value.home else "its defaults"
    if isinstance(value, dict) and any(isinstance(v, Spec) for v in value.values()):
        return f"`{', '.join(value)}`"
    return f"`{json.dumps(value)}`"


@cache
def comments(spec: type[Spec]) -> dict[str, tuple[str, str]]:
    """field -> its annotation and the comment behind it, in the spec's own source."""
    lines = inspect.getsource(inspect.getmodule(spec)).splitlines()  # type: ignore[arg-type]
    (tree,) = (
        node
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.ClassDef) and node.name == spec.__name__
    )
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            behind = lines[(node.end_lineno or 0) - 1][node.end_col_offset or 0 :]
            comment = re.sub(r"^\s*#\s*(type: ignore\S*\s*)?#?\s*", "", behind)
            found[node.target.id] = ast.unparse(node.annotation), comment.strip()
    return found


def nested(spec: type[Spec]) -> list[tuple[str, Any]]:
    """The specs that a kind's fields are made of, but for those told with the recipe: Columns, LabelFile."""
    found = []
    for name, field in spec.model_fields.items():
        inner = [
            getattr(part, "__origin__", part) for part in getattr(field.annotation, "__args__", ())
        ]  # of Annotated
        found.extend(
            (name, part)
            for part in (field.annotation, *inner)
            if inspect.isclass(part) and issubclass(part, Spec) and part not in PARTS.values()
        )
    return found


def insert(page: str, tables: str, what: str = "fields") -> str:
    """The page with the text between its markers replaced."""
    begin, end = BEGIN.format(what), END.format(what)
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{tables}\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    for page, tables, what in (
        (PAGE, text(), "fields"),
        (SWEEPS, sweep_text(), "fields"),
        (DESIGN, packages.table() + "\n", "packages"),
    ):
        page.write_text(insert(page.read_text(encoding="utf-8"), tables, what), encoding="utf-8")
