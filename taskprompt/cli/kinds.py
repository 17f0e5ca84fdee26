"""The commands about the contents of recipes: `kinds` and `schema`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from taskprompt.cli.options import output


def kinds() -> None:
    """List all kinds that a recipe can use, with one line each."""
    from rich.table import Table

    from taskprompt.core.errors import SpecError
    from taskprompt.core.plugins import plugins
    from taskprompt.core.spec import kinds, resolve
    from taskprompt.recipe.schema import interfaces, one_line

    table = Table(box=None, pad_edge=False)
    for column in ("interface", "kind", "what it is"):
        table.add_column(column, overflow="fold" if column == "what it is" else "ignore")
    for interface in interfaces():
        for kind in kinds(interface):
            packages = ", ".join(plugin.package for plugin in plugins(interface.home).get(kind, ()))
            try:
                text = one_line(resolve(kind, interface)) + (f" (from {packages})" if packages else "")
            except SpecError as error:
                if not packages:
                    raise
                text = f"cannot be used: {error.text}"
            table.add_row(interface.__name__.lower(), kind, text)
    output(160).print(table)


def schema(
    out: Annotated[Path | None, typer.Argument(help="The file to write; default: standard output.")] = None,
) -> None:
    """Write the JSON schema of recipes, for completion and validation in editors."""
    from taskprompt.recipe.schema import recipe_schema

    text = json.dumps(recipe_schema(), indent=1)
    if out is None:
        print(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
        print(out)
