"""The pages that people read, and the blocks of code in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {p.relative_to(ROOT).as_posix(): p for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
FENCE = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """What stands between two fences, with the language and title above it."""

    page: str
    line: int
    language: str
    title: str
    text: str


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, in order. Every fence of the page belongs to one of them."""
    text = PAGES[page].read_text(encoding="utf-8")
    found = [
        Block(page, text[: m.start()].count("\n") + 1, m["language"], m["title"] or "", m["text"])
        for m in FENCE.finditer(text)
    ]
    fences = re.findall(r"^\s*```", text, re.MULTILINE)
    assert len(fences) == 2 * len(found), f"{page}: {len(fences)} fences, but {len(found)} blocks with a language"
    return [b for b in found if language in (None, b.language)]


COMMANDS = [  # (page, command line) of every shell block
    (page, line)
    for page in PAGES
    for block in blocks(page, "bash")
    for line in (re.sub(r"\s+#.*$", "", text).strip() for text in block.text.splitlines())
    if line
]
OURS = [(page, line) for page, line in COMMANDS if "taskprompt " in line]


def arguments(line: str) -> list[str]:
    """The words behind `taskprompt` of a command line."""
    words = shlex.split(line)
    return words[[w.rpartition("/")[2] for w in words].index("taskprompt") + 1 :]
