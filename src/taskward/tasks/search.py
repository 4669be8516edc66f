"""The words of tasks and what a search for them means. No SQL lives here: a query becomes plain substrings.

A task is written with the `searchable` form of its texts. Every word in it stands between two spaces, so that a word
is found by " word ", the beginning of one by " wor" and a phrase by " blue cap ".
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import chain

MOST_TERMS = 32
# No word contains it, so no phrase reaches from one text into the next.
_BETWEEN_TEXTS = "\n"

# Marks that readers of these scripts leave out or ignore. Other marks are as good as letters: the dakuten that makes カ
# a ガ, the vowel signs of India and of South-East Asia.
_ACCENTS = (
    range(0x0300, 0x0370),
    range(0x0483, 0x048A),  # Cyrillic
    range(0x1AB0, 0x1B00),
    range(0x1DC0, 0x1E00),
    range(0x20D0, 0x20E3),
    range(0xFE20, 0xFE30),
)
_POINTS = (
    (*range(0x0591, 0x05BE), 0x05BF, 0x05C1, 0x05C2, 0x05C4, 0x05C5, 0x05C7),  # Hebrew
    (*range(0x0610, 0x061B), *range(0x064B, 0x0660), 0x0670),  # Arabic, from here on
    (*range(0x06D6, 0x06DD), *range(0x06DF, 0x06E5), 0x06E7, 0x06E8, *range(0x06EA, 0x06EE)),
    (*range(0x0898, 0x08A0), *range(0x08CA, 0x08E2), *range(0x08E3, 0x0900)),
    (0x0640,),  # tatweel, which only stretches a word
)
_INVISIBLE = (
    (0x00AD, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0xFEFF),
    range(0x180B, 0x1810),
    range(0x200B, 0x2010),  # joiners, which also hold emoji together, and marks of direction
    range(0x202A, 0x202F),
    range(0x2060, 0x2070),
    range(0xFE00, 0xFE10),  # variation selectors, as in ❤️
    range(0xE0000, 0xE0200),
)

# What decomposition and case folding leave of letters that people type without the accent, or on another keyboard.
_LETTERS = {
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "ı": "i",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ى": "ي",
    "ی": "ي",
    "ک": "ك",
    "ʻ": "'",
    "ʼ": "'",
    "\N{COMBINING ENCLOSING KEYCAP}": " ",
    "\0": " ",
}
_FOLDED: dict[int, str | None] = {
    **dict.fromkeys(chain(*_ACCENTS, *_POINTS, *_INVISIBLE)),
    **{ord(letter): plain for letter, plain in _LETTERS.items()},
}
# Their decomposition would grow into the word before them: "Windows™" is not "windowstm".
_SIGNS = str.maketrans("™℠", "  ")

# No language puts so many on one letter; Unicode's stream-safe format has the same bound.
_MOST_MARKS = 30
_TOO_MANY_MARKS = re.compile(rb"[^\0]{%d,}" % (_MOST_MARKS + 1))


class _Decompositions(dict[int, str]):
    """What characters decompose to, each looked at by itself and once."""

    def __missing__(self, code: int) -> str:
        found = unicodedata.normalize("NFKD", chr(code))
        if code < _REMEMBERED:
            self[code] = found
        return found


# Alphabets; to remember ideographs and all else as well would take memory.
_REMEMBERED = 0x3000
_DECOMPOSITIONS = _Decompositions()

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3031-\u3035\u303b\u303c\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\U0001aff0-\U0001b16f"  # kana, bopomofo
)
_WITHOUT_SPACES = re.compile(f"[{_UNSPACED}]")
_INDICATORS = "\U0001f1e6-\U0001f1ff"
_INDICATOR = re.compile(f"[{_INDICATORS}]")
_OWN_WORDS = re.compile(f"[{_UNSPACED}]+|[{_INDICATORS}]{{1,2}}")

_SIGNS_AFTER = re.compile("[+#]+")
# Phones turn a typed quote into one of these.
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
# A quote between letters is part of the word, as in Hebrew acronyms.
_TERM = re.compile(r'(?P<minus>-?)"(?P<phrase>[^"]*)"?|(?P<word>(?:[^\s"]|(?<=\w)"(?=\w))+)')


class SearchError(ValueError):
    """A query that is refused; the message is for the one who typed it."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a query.

    Attributes:
        pattern: Looked for in the `searchable` form, byte by byte; nothing in it is a wildcard.
        negated: Whether it must be absent.
    """

    pattern: str
    negated: bool


Query = tuple[tuple[Term, ...], ...]


@dataclass(frozen=True, slots=True)
class _Part:
    words: list[str]
    quoted: bool
    negated: bool

    @property
    def joins(self) -> bool:
        return self.words == ["or"] and not self.quoted and not self.negated

    def term(self, *, last: bool) -> Term:
        # A word that is still being typed finds something already, but must not hide what its beginning is found in.
        prefix = last and not self.quoted and not self.negated
        return Term(_pattern(self.words, prefix=prefix), self.negated)


def fold(text: str) -> str:
    """The text without differences of case, accents and presentation; folding it again changes nothing.

    Accents fold in all of Latin, Greek and Cyrillic, even where the result is another letter, as in ñ, å and й: the
    language of a text is unknown, and to find a task too many is better than to miss one.
    """
    if text.isascii():
        return text.lower().replace("\0", " ")
    decomposed = _decompose(text.translate(_SIGNS))
    return unicodedata.normalize("NFC", decomposed.casefold().translate(_FOLDED))


def _decompose(text: str) -> str:
    """The text in NFKD, of whose runs of marks only the beginning is kept."""
    # A character has at most two marks of its own.
    if len(text) > _MOST_MARKS // 2:
        # Putting marks in order takes time by the square of how many there are, so they are looked at before that.
        text = text.translate(_DECOMPOSITIONS)
        classes = bytes(map(unicodedata.combining, text))
        for run in reversed([*_TOO_MANY_MARKS.finditer(classes)]):
            text = text[: run.start() + _MOST_MARKS] + text[run.end() :]
    return unicodedata.normalize("NFKD", text)


def searchable(*texts: str | None) -> str:
    """The folded words of the texts, to be searched with the patterns of a query.

    Returns:
        The words of each text with one space before and after each of them, texts apart; empty without any word.
    """
    words = (_words(fold(text)) for text in texts if text)
    return _BETWEEN_TEXTS.join(f" {' '.join(found)} " for found in words if found)


def parse_query(text: str) -> Query:
    """What a query means.

    Words must all be there, in any order; "quoted words" in this order, next to each other; -word and -"quoted words"
    must not be there. `or` separates alternatives and binds weaker than what stands next to it, as in PostgreSQL's
    `websearch_to_tsquery`: `a b or c` is (a and b) or c. Where it has nothing to join, it is a word like any other.

    The last word also finds words that it begins, unless it is quoted or excluded. Scripts without spaces between words
    are found anywhere inside. Parts of a word, as in foo-bar, don't or iPhone手机, are a phrase.

    Returns:
        Alternatives of terms that must all hold. Without any word it is empty, which does not restrict.

    Raises:
        SearchError: There are more terms than a search should cost.
    """
    parts = _parts(fold(text).translate(_QUOTES))
    alternatives: list[dict[Term, None]] = [{}]
    for place, part in enumerate(parts, start=1):
        last = place == len(parts)
        if part.joins and alternatives[-1] and not last:
            alternatives.append({})
        else:
            alternatives[-1][part.term(last=last)] = None
    query = tuple(dict.fromkeys(tuple(terms) for terms in alternatives if terms))
    if sum(map(len, query)) > MOST_TERMS:
        raise SearchError(f"This may have at most {MOST_TERMS} words.")
    return query


def matches(query: Query, searchable_text: str) -> bool:
    """Whether a query finds a text: what the database does, said in Python."""
    return not query or any(all((term.pattern in searchable_text) != term.negated for term in terms) for terms in query)


def _parts(folded: str) -> list[_Part]:
    """The parts of a query that contain words."""
    parts = map(_part, _TERM.finditer(folded))
    return [part for part in parts if part.words]


def _part(found: re.Match[str]) -> _Part:
    phrase, word = found["phrase"], found["word"]
    if word is None:
        return _Part(_words(phrase), quoted=True, negated=bool(found["minus"]))
    # Two hyphens begin an option of a command that was pasted.
    return _Part(_words(word), quoted=False, negated=word.startswith("-") and not word.startswith("--"))


def _words(folded: str) -> list[str]:
    if "+" in folded or "#" in folded:
        folded = _SIGNS_AFTER.sub(_apart_after, folded)
    if folded.isascii():
        return folded.translate(_ASCII_APART).split()
    apart = {ord(one): _apart(one) for one in set(folded) if not one.isalnum() and one not in "+#"}
    return _OWN_WORDS.sub(r" \g<0> ", folded.translate(apart)).split()


def _apart(character: str) -> str:
    """What a character that is no letter and no number becomes: part of a word, a word, or a space."""
    category = unicodedata.category(character)
    if category.startswith("M") or _INDICATOR.match(character):
        return character
    # Unassigned ones are mostly emoji newer than this Python.
    return f" {character} " if category in {"So", "Cn", "Co"} else " "


def _apart_after(found: re.Match[str]) -> str:
    """Signs after a letter or a number are a word, as in C++ and C#; others are none, as in #tag."""
    return f" {found[0]} " if found.string[: found.start()][-1:].isalnum() else " "


_ASCII_APART = {code: _apart(chr(code)) for code in range(128) if not chr(code).isalnum() and chr(code) not in "+#"}


def _pattern(words: list[str], *, prefix: bool) -> str:
    start = "" if _WITHOUT_SPACES.match(words[0]) else " "
    end = "" if prefix or _WITHOUT_SPACES.match(words[-1]) else " "
    return f"{start}{' '.join(words)}{end}"
