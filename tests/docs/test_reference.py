"""What the docs say of fields, signatures and links is what the code says."""

import ast
import importlib
import inspect
import re
import sys

import pytest
from pages import PAGES, ROOT, blocks

import taskprompt
from taskprompt.train import loop


@pytest.fixture
def make_fields(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield importlib.import_module("make_fields")
    sys.modules.pop("make_fields")


def test_the_tables_of_fields_are_up_to_date(make_fields):
    page = PAGES["docs/recipes.md"].read_text(encoding="utf-8")
    assert page == make_fields.insert(page, make_fields.text()), "run: .venv/bin/python docs/make_fields.py"
    page = PAGES["docs/sweeps.md"].read_text(encoding="utf-8")
    assert page == make_fields.insert(page, make_fields.sweep_text()), "run: .venv/bin/python docs/make_fields.py"


def test_the_tables_hold_every_field(make_fields):
    text = make_fields.text()
    recipe = taskprompt.Recipe.model_fields
    assert len(recipe) >= 19
    assert all(f"| `{name}` |" in text for name in recipe)
    assert len(taskprompt.Sweep.model_fields) == 11
    assert all(f"| `{name}` |" in make_fields.sweep_text() for name in taskprompt.Sweep.model_fields)


def test_the_signatures_of_the_interfaces_are_todays():
    (block,) = blocks("docs/design.md", "python")
    assert block.title == "signatures"
    checked = 0
    for node in ast.parse(block.text).body:
        if isinstance(node, ast.FunctionDef):
            assert parameters(node) == list(inspect.signature(getattr(loop, node.name)).parameters)
            checked += 1
            continue
        assert isinstance(node, ast.ClassDef)
        interface = getattr(taskprompt, node.name)
        for part in node.body:
            if isinstance(part, ast.FunctionDef):
                assert parameters(part) == list(inspect.signature(getattr(interface, part.name)).parameters)
                checked += 1
            else:
                assert isinstance(part, ast.AnnAssign)
                assert isinstance(part.target, ast.Name)
                name = part.target.id
                assert name in interface.model_fields or name in inspect.get_annotations(interface)
                if part.value is not None:
                    field = interface.model_fields.get(name)
                    stated = getattr(interface, name) if field is None else field.default
                    assert stated == ast.literal_eval(part.value)
    assert checked >= 21


def parameters(node: ast.FunctionDef) -> list[str]:
    return [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]


def test_links_and_pictures_lead_somewhere():
    seen = 0
    for page in PAGES.values():
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith("http"):
                continue
            file, _, anchor = target.partition("#")
            to = (page.parent / file) if file else page
            assert to.is_file(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", to.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = [re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings]
                assert anchor in slugs, f"{page.name}: {target}"
            seen += 1
    assert seen >= 25


def test_every_public_name_is_in_the_api_page():
    named = re.findall(r"^::: taskprompt\.(\w+)$", PAGES["docs/api.md"].read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(taskprompt.__all__)


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    pages = sorted(p.removeprefix("docs/") for p in PAGES if p.startswith("docs/") and p != "docs/results.md")
    assert sorted(re.findall(r"(\w+\.md)", nav.replace("results.md", ""))) == pages
    assert len(pages) >= 15


def test_the_picture_is_small():
    assert 10_000 < (ROOT / "docs" / "picture.png").stat().st_size < 400_000


def test_no_word_of_where_it_was_written():
    for page in PAGES.values():
        found = re.search(r"/(work|home|tmp|root)/", page.read_text(encoding="utf-8"))
        assert found is None, f"{page.name}: {found}"
