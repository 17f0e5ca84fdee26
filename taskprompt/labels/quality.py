"""Quality flags of texts in label tables, and of embeddings by their texts."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from taskprompt.labels.refusals import refuses

WORDS = 12  # shorter texts are not checked for repetition
DISTINCT = 0.5  # smallest share of distinct trigrams of words; nearly 1 in prose
COMMON = 0.05  # share of a label's clips above which a common answer is flagged as duplicate
LONG = 40  # characters above which a word is split into characters
# Kana, Han, Thai, Lao, Myanmar and Khmer are written without spaces: each character counts as a word.
UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


def flags_of(text: str, cut: bool) -> tuple[str, ...]:
    """Flags of a single answer: empty, refused, repetitive, truncated."""
    found = {
        "empty": not re.search(r"\w", text),
        "refused": refuses(text),
        "repetitive": repeats(words_of(text)),
        "truncated": cut,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def words_of(text: str) -> list[str]:
    """Its words; characters for scripts that are written without spaces, and for overlong words."""
    words = UNSPACED.sub(r" \1 ", text).split()
    return [part for word in words for part in (word if len(word) > LONG else [word])]


def repeats(words: list[str]) -> bool:
    """Whether too many of its trigrams of words are repeats."""
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= WORDS and len(set(runs)) < DISTINCT * len(runs)


def duplicates(texts: Sequence[str]) -> set[str]:
    """Normalised texts that more than COMMON of the clips, and at least three, share."""
    counts = Counter(map(folded, texts))
    return {text for text, n in counts.items() if n >= 3 and n > COMMON * len(texts)}


def folded(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.casefold().split())


def flags(texts: Sequence[str], cut: Iterable[bool]) -> list[tuple[str, ...]]:
    """Flags of all answers for one label."""
    common = duplicates(texts)
    return [
        flags_of(text, is_cut) + (("duplicate",) if folded(text) in common else ())
        for text, is_cut in zip(texts, cut, strict=True)
    ]
