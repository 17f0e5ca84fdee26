"""What is wrong with an answer: flags of texts in label tables, and of embeddings by the text beside them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from taskprompt.labels.refusals import refuses

WORDS = 12  # a text with fewer may repeat itself
DISTINCT = 0.5  # share of a text's runs of three words that are different ones; prose has nearly all
COMMON = 0.05  # share of a label's clips: an answer that more of them have says little about any
LONG = 40  # letters of what is no word of any language, and is looked at letter by letter
# Kana, Han, Thai, Lao, Myanmar and Khmer are written without spaces: each letter counts as a word.
UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


def flags_of(text: str, cut: bool) -> tuple[str, ...]:
    """Of one answer by itself: empty, refused, repetitive, truncated."""
    found = {
        "empty": not re.search(r"\w", text),
        "refused": refuses(text),
        "repetitive": repeats(words_of(text)),
        "truncated": cut,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def words_of(text: str) -> list[str]:
    """Its words; letters of scripts that are written without spaces, and of what is too long for a word."""
    words = UNSPACED.sub(r" \1 ", text).split()
    return [part for word in words for part in (word if len(word) > LONG else [word])]


def repeats(words: list[str]) -> bool:
    """Are too many of its runs of three words the same?"""
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= WORDS and len(set(runs)) < DISTINCT * len(runs)


def duplicates(texts: Sequence[str]) -> set[str]:
    """Those, in small letters with single spaces, that more than COMMON of the clips, and at least three, share."""
    counts = Counter(map(folded, texts))
    return {text for text, n in counts.items() if n >= 3 and n > COMMON * len(texts)}


def folded(text: str) -> str:
    """Small letters, single spaces."""
    return " ".join(text.casefold().split())


def flags(texts: Sequence[str], cut: Iterable[bool]) -> list[tuple[str, ...]]:
    """Of all answers for one label."""
    common = duplicates(texts)
    return [
        flags_of(text, is_cut) + (("duplicate",) if folded(text) in common else ())
        for text, is_cut in zip(texts, cut, strict=True)
    ]
