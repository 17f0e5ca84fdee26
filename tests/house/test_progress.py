"""What a terminal or a log is told, letter by letter: words of others may hold anything."""

import io

import pytest
from rich.console import Console

from taskprompt import progress

LOST = "RuntimeError: [/pytorch/gloo/pair.cc:553] Connection closed by peer [red]"


@pytest.mark.parametrize("terminal", [False, True])
def test_brackets_in_a_message_are_letters(monkeypatch, terminal):
    said = io.StringIO()

    def console(**options):
        return Console(
            file=said, width=300, force_terminal=terminal, **{k: v for k, v in options.items() if k != "stderr"}
        )

    monkeypatch.setattr(progress, "Console", console)
    with progress.progress(None) as watch:
        watch({"step": 1, "left": 1, "loss": 0.5, "clips_per_s": 2.0, "steps_per_s": 0.0})
        watch({"lost": LOST, "left_to_try": 2})
        watch({"waiting": "room [/b] is short"})
        watch({"weights": "a.pyth: layout [b]\n  matched    2 of 2"})
    assert LOST in said.getvalue()
    assert "times left: 2" in said.getvalue()
    assert "room [/b] is short" in said.getvalue()
    assert "a.pyth: layout [b]\n  matched    2 of 2\n" in said.getvalue()
