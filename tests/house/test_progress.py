"""What a terminal or a log is told, letter by letter: words of others may hold anything."""

import io
import os
import sys
import threading

import pytest
from rich.console import Console

from taskprompt import events, progress
from taskprompt.notebook import MOST_LINES, Notebook
from taskprompt.recipe.files import dump, validate
from taskprompt.recipe.recipe import Recipe

LOST = "RuntimeError: [/pytorch/gloo/pair.cc:553] Connection closed by peer [red]"


def step(left: int, steps_per_s: float) -> events.Step:
    pace = {"clips_per_s": 2.0, "steps_per_s": steps_per_s}
    return events.Step(step=1, stage=0, loss=0.5, losses={"a": 0.5}, grad_norm=1.0, lr=0.1, left=left, **pace)


@pytest.mark.parametrize("terminal", [False, True])
def test_brackets_in_a_message_are_letters(monkeypatch, terminal):
    said = io.StringIO()

    def console(**options):
        return Console(
            file=said, width=300, force_terminal=terminal, **{k: v for k, v in options.items() if k != "stderr"}
        )

    monkeypatch.setattr(progress, "Console", console)
    with progress.progress(None) as watch:
        watch(step(left=1, steps_per_s=0.0))
        watch(events.WorkerLost(LOST, 2))
        watch(events.Waiting("room [/b] is short"))
        watch(events.WeightsLoaded("a.pyth: layout [b]\n  matched    2 of 2"))
    assert LOST in said.getvalue()
    assert "restarts left: 2" in said.getvalue()
    assert "room [/b] is short" in said.getvalue()
    assert "a.pyth: layout [b]\n  matched    2 of 2\n" in said.getvalue()


def test_a_notebook_shows_bars_and_lines(monkeypatch):
    """One output that is replaced; jobs on a cluster tell what they do from another thread."""
    outputs: list[str] = []
    monkeypatch.setattr(progress, "Console", lambda **options: Console(file=io.StringIO(), force_jupyter=True))
    monkeypatch.setattr(progress, "displayed", lambda: outputs.append)

    def job(watch):
        watch(step(left=3, steps_per_s=0.5))
        watch(events.Evaluated(2, {"real/action/top1": 0.25}))
        watch(events.Evaluating("<b>real", clips=4, total=4))
        watch(events.Evaluating("<b>real", clips=3, total=4))  # measured again
        watch(events.WorkerLost(f"{LOST} <script>\x1b", 2))

    with progress.progress(None) as watch:
        thread = threading.Thread(target=job, args=(watch,))
        thread.start()
        thread.join()
    last = outputs[-1]
    assert "<td>fit</td><td><progress value='1' max='4'></progress></td><td>1/4</td><td>loss 0.500" in last
    assert "6 s left" in last
    assert "<td>evaluated &lt;b&gt;real</td><td><progress value='3' max='4'></progress>" in last
    assert "<pre>step 2 real/action/top1 0.25\n" in last
    assert "<script" not in last
    assert "\x1b" not in last


def test_a_notebook_forgets_old_lines():
    outputs: list[str] = []
    notebook = Notebook(outputs.append)
    for i in range(3 * MOST_LINES):
        notebook.say(f"line {i}.")
    notebook.draw()
    assert len(outputs) < MOST_LINES  # not once a line
    assert f"line {2 * MOST_LINES}." in outputs[-1]
    assert f"line {2 * MOST_LINES - 1}." not in outputs[-1]


def test_a_kernel_of_jupyter(squares, tmp_path, monkeypatch):
    """A notebook that trains and evaluates, run by Jupyter's own client where that is installed."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (tmp_path / "r.yaml").write_text(dump(validate(squares | {"stages": [{"steps": 2}]}, "r", Recipe)))
    cells = ["import taskprompt as tp", "tp.fit('r.yaml', 'run', cluster=None)", "tp.evaluate('run')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook, timeout=200).execute()
    shown = [[o.get("data", {}).get("text/html", "") for o in cell.outputs] for cell in notebook.cells]
    assert any("<td>fit</td><td><progress value='2' max='2'>" in html for html in shown[1])
    assert any("2 of 2 steps" in html for html in shown[1])
    assert any("Evaluation of step-00000002" in html for html in shown[2])
