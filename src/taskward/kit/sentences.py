"""Parts of sentences that are made of words which slices bring."""

from __future__ import annotations

from collections.abc import Collection


def listed(words: Collection[str], conjunction: str) -> str:
    """Words as a sentence lists them: `a, b or c`."""
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def with_article(word: str) -> str:
    """`a list`, `an op`."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def capitalized(sentence: str) -> str:
    """A sentence that begins with a capital."""
    return sentence[:1].upper() + sentence[1:]
