"""Escaping of untrusted text for a terminal, a page, Markdown, LaTeX and figures.

Names of files, columns and classes, answers of models and errors of libraries may contain terminal control sequences,
tags or markup."""

import html
import logging
import re
import sys
import unicodedata
from typing import Any, TextIO

from taskprompt.core.secrets import masked

OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, direction marks, lone surrogates, line separators
KEPT = "\n\t\u200c\u200d"  # line ends, and joiners that scripts and emoji need
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
MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")  # within a word, '_' is not markup


def printable(text: str, *, colours: bool = False) -> str:
    r"""The text with characters that control a terminal, or cannot be shown, escaped: '\x1b', '\udc80'.

    colours: keep colour sequences, as in a log."""
    if text.isprintable():
        return text
    if colours:
        return "".join(p if i % 2 else printable(p) for i, p in enumerate(COLOUR.split(text)))
    return "".join(_escape(c) if unicodedata.category(c) in OBEYED and c not in KEPT else c for c in text)


def shown(text: Any) -> str:
    """Printable, and without keys in addresses."""
    return printable(masked(str(text)))


def one_line(text: Any) -> str:
    """The same, in one line."""
    return " ".join(shown(text).split())


def say(*parts: Any, file: TextIO | None = None, flush: bool = False) -> None:
    """`print` for text with untrusted names or answers."""
    print(*map(shown, parts), file=file or sys.stdout, flush=flush)


class Formatter(logging.Formatter):
    """Log lines that are safe to print on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return shown(super().format(record))


def markdown(text: Any) -> str:
    """Text escaped for a cell or a paragraph of Markdown: no tag, link, markup, new cell or new line."""
    return MARKDOWN.sub(r"\\\g<0>", html.escape(one_line(text), quote=False))


def latex(text: Any) -> str:
    """Text escaped for LaTeX: no command, mathematics or comment."""
    return "".join(LATEX.get(c, c) for c in one_line(text))


def _escape(c: str) -> str:
    return c.encode("unicode_escape", "backslashreplace").decode("ascii")


def unicode(text: str) -> str:
    """The text as valid Unicode: surrogate pairs are joined, and a lone surrogate becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
