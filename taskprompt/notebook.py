"""Progress in a notebook: one cell output that is updated during a job, without widgets."""

import html
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from taskprompt.core.text import one_line

SECONDS = 0.2  # between two updates of the output
MOST_LINES = 40  # below the bars


def displayed() -> Callable[[str], None]:
    """A function that shows html as output of the running cell, and replaces it in later calls."""
    display = importlib.import_module("IPython.display")  # available in every kernel
    handle = display.display(display.HTML(""), display_id=True)
    return lambda text: handle.update(display.HTML(text))


@dataclass
class Notebook:
    """Progress bars by name, and lines of text below them."""

    show: Callable[[str], None]  # called with the whole html
    bars: dict[str, tuple[int, int, str]] = field(default_factory=dict)  # name -> done, total, text
    lines: list[str] = field(default_factory=list)
    shown: float = -float("inf")  # when

    def set(self, name: str, done: int, total: int, facts: str = "") -> None:
        """Set a bar."""
        self.bars[name] = (done, total, facts)
        self._draw_sometimes()

    def advance(self, name: str, by: int, total: int, facts: str = "") -> None:
        """Advance a bar; a full one restarts."""
        done, before, _ = self.bars.get(name, (0, total, ""))
        self.set(name, by if done >= before else done + by, total, facts)

    def say(self, text: str) -> None:
        """Add a line."""
        self.lines = [*self.lines, text][-MOST_LINES:]
        self._draw_sometimes()

    def draw(self) -> None:
        """Update the output now."""
        self.shown = time.monotonic()
        self.show(self.html())

    def html(self) -> str:
        """Bars and lines; all text is escaped."""
        rows = [
            f"<tr><td>{_escaped(name)}</td><td><progress value='{done}' max='{max(total, 1)}'></progress></td>"
            f"<td>{done}/{total}</td><td>{_escaped(facts)}</td></tr>"
            for name, (done, total, facts) in self.bars.items()
        ]
        table = f"<table>{''.join(rows)}</table>" if rows else ""
        return table + (f"<pre>{html.escape(chr(10).join(map(one_line, self.lines)))}</pre>" if self.lines else "")

    def _draw_sometimes(self) -> None:
        if time.monotonic() - self.shown >= SECONDS:
            self.draw()


def _escaped(text: str) -> str:
    return html.escape(one_line(text))
