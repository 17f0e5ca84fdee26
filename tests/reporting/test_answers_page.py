"""The page of label tables: every answer and failure is told, shown clips are a few, and answers are no markup."""

import json

import pytest
from test_page import Page

import taskprompt as tp
from taskprompt.labels.table import append, record
from taskprompt.recipe.files import validate
from taskprompt.reporting.answers_page import CLIPS, write_answers_page


@pytest.fixture
def recipe(squares, tmp_path):
    squares["labelers"] = {
        "captions": {
            "kind": "vlm_caption",
            "table": str(tmp_path / "table"),
            "server": {"url": "http://127.0.0.1:9/v1", "model": "m"},
            "prompts": {"said": "What is said?"},
            "keyframes": 2,
            "sources": ["labelled"],
        }
    }
    squares["sources"]["labelled"] |= {"clips": 30, "broken": [29], "tables": [str(tmp_path / "table")]}
    return squares


def fill(tmp_path):
    said = {f"squares/{i}": f"A square moves, {i} times." for i in range(28)} | {"squares/0": "<b>no markup</b> & more"}
    rows = [record(k, "said", v, address=k, used=json.dumps({"tokens": 5})) for k, v in said.items()]
    rows.append(record("squares/1", "crowd", {"people": 0}, address="1"))
    rows.append(record("squares/28", "said", None, address="28", error="HTTP 400: no pixels"))
    rows.append(record("squares/29", "said", None, address="29", error="squares/29: the file is empty."))
    rows.append(record("squares/2", "said", None, address="other", error="a failure that an answer outlives"))
    append(tmp_path / "table", rows)
    append(tmp_path / "table", [record("squares/3", "said", "I'm sorry, I cannot.", address="3b")])


def test_it_tells_all(recipe, tmp_path):
    fill(tmp_path)
    path = write_answers_page(validate(recipe, "r", tp.Recipe))
    assert path == tmp_path / "table" / "answers.html"
    page = Page(path)
    assert page.open == []
    assert all(a.startswith("data:") for a in page.addresses)
    assert len(page.addresses) == CLIPS - 1  # the first and the last of the list are among them, which cannot be read
    assert "29 answers about 30 clips, of 135 tokens; 2 failed" in page.text
    assert "HTTP 400: no pixels 1 squares/28" in page.text
    assert "an answer outlives" not in page.text
    assert "<b>no markup</b> & more" in page.text  # as text
    assert path.read_text().count("<b>no markup") == 0
    assert "crowd 1" in page.text
    row = page.text[page.text.index("said 28") :].split()
    assert row[:3] == ["said", "28", "1"]  # answers; refused: the newest of squares/3


def test_from_a_recipe_file_and_what_is_missing(recipe, tmp_path):
    import yaml

    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(tp.SourceError, match="no labeler of the recipe has a table yet"):
        tp.report(path)
    fill(tmp_path)
    assert tp.report(path) == tmp_path / "table" / "answers.html"
    del recipe["labelers"]
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(tp.SpecError, match="the recipe has no `labelers`"):
        tp.report(path)
