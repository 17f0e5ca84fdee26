"""Tasks of the pages as files that can be imported."""

import sys

import pytest
from pages import blocks


@pytest.fixture
def write_task(tmp_path, monkeypatch):
    """Writes a file of docs/add_a_task.md, by its title, where it can be imported; its modules are forgotten again."""

    def write(title: str) -> None:
        (block,) = (b for b in blocks("docs/add_a_task.md") if b.title == title)
        (tmp_path / title).parent.mkdir(exist_ok=True)
        (tmp_path / title).write_text(block.text)

    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    for name in [n for n in sys.modules if n.split(".")[0] == "my_tasks"]:
        del sys.modules[name]
