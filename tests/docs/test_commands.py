"""Every command line in the docs names verbs and options that exist, and overrides that the recipe takes."""

import re

import pytest
import typer
from pages import COMMANDS, OURS, PAGES, ROOT, arguments

from taskprompt.cli.main import app
from taskprompt.recipe.recipe import Recipe

QUICKSTART = [(page, line) for page, line in OURS if " fit recipes/quickstart.yaml" in line]


def test_how_many_commands():
    assert len(COMMANDS) == 84
    assert len(OURS) == 72
    assert len(QUICKSTART) == 7


@pytest.mark.parametrize(("page", "line"), OURS)
def test_the_command_line_parses(page, line):
    group = typer.main.get_command(app)
    with group.make_context("taskprompt", arguments(line)) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore
        assert name
        if isinstance(command, type(group)):  # bench, with verbs of its own
            with command.make_context(name, rest, parent=context) as inner:
                name, command, rest = command.resolve_command(inner, [*inner._protected_args, *inner.args])  # type: ignore
        with command.make_context(name, rest, parent=context) as inner:
            assert not inner.args


@pytest.mark.parametrize(("page", "line"), QUICKSTART)
def test_the_overrides_are_taken(page, line):
    overrides = [w for w in arguments(line)[2:] if "=" in w and "://" not in w and not w.startswith("-")]
    changed = Recipe.load(ROOT / "recipes" / "quickstart.yaml", overrides)
    assert (changed == Recipe.load(ROOT / "recipes" / "quickstart.yaml")) == (not overrides)


def test_other_commands_are_those_of_make_and_the_tools():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    others = [line.split() for _, line in COMMANDS if (_, line) not in OURS]
    assert len(others) == 12
    for words in others:
        if words[0] == "make":
            assert words[1] in targets
        else:
            assert words[0] in ("uv", "source", "pytest", "ssh") or words[0].startswith(".venv/bin/")


def test_verbs_named_in_prose_exist():
    group = typer.main.get_command(app)
    verbs = set(group.commands)  # type: ignore[attr-defined]
    named = {m for p in PAGES.values() for m in re.findall(r"`taskprompt (\w+)", p.read_text(encoding="utf-8"))}
    assert named <= verbs
    assert {"kinds", "check", "bench"} <= named
