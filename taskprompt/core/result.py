"""Results: dictionaries whose keys are also attributes; and tables as text and as HTML."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from taskprompt.core.errors import nearest
from taskprompt.core.text import one_line

LONGEST = 200  # characters of a cell


class Result(dict[str, Any]):
    """The result of a command: `result.sources` is `result["sources"]`.

    A subclass declares its keys and their types as annotations. It is plain data: it can be written as json, pickled
    and copied."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = f"{nearest(name, self)} Known: {', '.join(self)}."
            raise AttributeError(f"{type(self).__name__} has no {name!r}{known}", name=name, obj=self) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({super().__repr__()})"


def text_table(head: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> str:
    """Aligned columns, one line per row; head: () for none."""
    cells = [[_cell(c) for c in row] for row in ([head, *rows] if head else rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*([one_line(title)] if title else []), *lines])


def html_table(head: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> str:
    """The same for a notebook; every value is escaped."""

    def row(cells: Sequence[Any], tag: str) -> str:
        style = ' style="text-align: left"'
        return f"<tr>{''.join(f'<{tag}{style}>{escape(_cell(c))}</{tag}>' for c in cells)}</tr>"

    caption = f"<div><b>{escape(one_line(title))}</b></div>" if title else ""
    heading = f"<thead>{row(head, 'th')}</thead>" if head else ""
    return f"{caption}<table>{heading}<tbody>{''.join(row(r, 'td') for r in rows)}</tbody></table>"


def _cell(value: Any) -> str:
    text = one_line(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
