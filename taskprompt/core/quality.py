"""What is wrong with an answer: flags of texts in label tables, and of embeddings by the text beside them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

Flag = Literal["empty", "refused", "repetitive", "truncated", "duplicate"]
# How models begin when they will not, or cannot, look at a picture.
REFUSAL = re.compile(
    r"\W*(i('| a)?m (sorry|unable|not able)|sorry\b|as an ai\b|unfortunately, i\b"
    r"|i (can ?not|can't|don't see|do not see)\b)",
    re.IGNORECASE,
)
WORDS = 12  # a text with fewer may repeat itself
DISTINCT = 0.5  # share of a text's runs of three words that are different ones; prose has nearly all
COMMON = 0.05  # share of a label's clips: an answer that more of them have says little about any


def flags_of(text: str, cut: bool) -> tuple[str, ...]:
    """Of one answer by itself: empty, refused, repetitive, truncated."""
    words = text.split()
    runs = list(zip(words, words[1:], words[2:], strict=False))
    found = {
        "empty": not re.search(r"\w", text),
        "refused": bool(REFUSAL.match(text.replace("\u2019", "'"))),
        "repetitive": len(words) >= WORDS and len(set(runs)) < DISTINCT * len(runs),
        "truncated": cut,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def duplicates(texts: Sequence[str]) -> set[str]:
    """Those, in small letters with single spaces, that more than COMMON of the clips, and at least three, share."""
    counts = Counter(map(folded, texts))
    return {text for text, n in counts.items() if n >= 3 and n > COMMON * len(texts)}


def folded(text: str) -> str:
    """Small letters, single spaces."""
    return " ".join(text.lower().split())


def flags(texts: Sequence[str], cut: Iterable[bool]) -> list[tuple[str, ...]]:
    """Of all answers for one label."""
    common = duplicates(texts)
    return [
        flags_of(text, is_cut) + (("duplicate",) if folded(text) in common else ())
        for text, is_cut in zip(texts, cut, strict=True)
    ]
