"""Foreign text, made fit to be shown: on a terminal, in a page, in Markdown, in LaTeX, in a figure.

Names of files, columns and classes, answers of models and the errors of libraries are whatever somebody wrote: they may
hold the control sequences of a terminal, tags, or the marks of a markup."""

import html
import logging
import re
import sys
import unicodedata
from typing import Any, TextIO

from taskprompt.core.secrets import masked

OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, marks of direction, lone surrogates, separators of lines
KEPT = "\n\t\u200c\u200d"  # line ends, and the joiners that scripts and emoji need
COLOUR = re.compile(r"(\x1b\[[0-9;]{0,16}m)")
LATEX = {
    "\\": r"\textbackslash{}",
    **{c: rf"\{c}" for c in "{}%_&#$"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "°": r"$^\circ$",
    "δ": r"$\delta$",
    "±": r"$\pm$",
    "\u2013": "--",
}
MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")  # within a word, '_' marks nothing


def printable(text: str, *, colours: bool = False) -> str:
    r"""The text with all that a terminal would obey, or could not show, written as an escape: '\x1b', '\udc80'.

    colours: leave the sequences that set colours alone, as in a log."""
    if text.isprintable():
        return text
    if colours:
        return "".join(p if i % 2 else printable(p) for i, p in enumerate(COLOUR.split(text)))
    return "".join(_escape(c) if unicodedata.category(c) in OBEYED and c not in KEPT else c for c in text)


def shown(text: Any) -> str:
    """What may be told: without the keys of addresses, and printable."""
    return printable(masked(str(text)))


def one_line(text: Any) -> str:
    """The same in one line."""
    return " ".join(shown(text).split())


def say(*parts: Any, file: TextIO | None = None, flush: bool = False) -> None:
    """`print` for text that holds foreign names or answers."""
    print(*map(shown, parts), file=file or sys.stdout, flush=flush)


class Formatter(logging.Formatter):
    """Lines of a log that can be shown on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return shown(super().format(record))


def markdown(text: Any) -> str:
    """Text as a cell or a paragraph of Markdown: no tag, no link, no mark, no new cell, no new line."""
    return MARKDOWN.sub(r"\\\g<0>", html.escape(one_line(text), quote=False))


def latex(text: Any) -> str:
    """Text as LaTeX takes it: no command, no mathematics, no comment."""
    return "".join(LATEX.get(c, c) for c in one_line(text))


def _escape(c: str) -> str:
    return c.encode("unicode_escape", "backslashreplace").decode("ascii")


def unicode(text: str) -> str:
    """The text as UTF-8 can hold it: halves of a surrogate pair are joined, and a half alone becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
