"""Suggests a parameter, a member or a value to a client that used another API's name for it.

The names that any API may have are here. A slice brings those of its own subject, and `install` takes them in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from taskward.runtime.spelling import nearest

Names = Mapping[str, tuple[str, ...]]
"""Other APIs' names, each with ours in the order in which they are looked for. Case, `_` and `-` tell none apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What other APIs call things.

    Attributes:
        names: Of parameters and members.
        words: Of values, where there are few.
        sorts: Of what a listing is sorted by.
        unwritten: Our names of members that only the server writes. They are known, so nothing else is suggested.
    """

    names: Names = field(default_factory=dict)
    words: Names = field(default_factory=dict)
    sorts: Names = field(default_factory=dict)
    unwritten: tuple[str, ...] = ()


_GENERAL = Vocabulary(
    names={
        "search": ("q",), "query": ("q",), "keyword": ("q",), "keywords": ("q",), "text": ("q",),
        "order": ("sort",), "order_by": ("sort",), "sort_by": ("sort",), "sort_order": ("sort",),
        "ordering": ("sort",), "direction": ("sort",),
        "offset": ("cursor",), "page": ("cursor",), "skip": ("cursor",), "after": ("cursor",),
        "page_token": ("cursor",),
        "per_page": ("limit",), "page_size": ("limit",), "size": ("limit",), "take": ("limit",),
        "max_results": ("limit",), "total": ("count",),
        "include_deleted": ("deleted",), "trashed": ("deleted",),
        "updated_after": ("updated_since",), "modified_since": ("updated_since",), "since": ("updated_since",),
        "created_after": ("created_since",),
        "timezone": ("time_zone", "tz"), "colour": ("color",),
    },
    words={
        "add": ("create",), "insert": ("create",), "edit": ("update",), "patch": ("update",), "change": ("update",),
        "remove": ("delete",), "trash": ("delete",), "undelete": ("restore",),
    },
    sorts={
        "created": ("created_at",), "creation_date": ("created_at",), "date_added": ("created_at",),
        "updated": ("updated_at",), "modified": ("updated_at",), "modified_at": ("updated_at",),
        "order": ("position",),
    },
    unwritten=("user_id", "position", "version", "created_at", "updated_at", "deleted_at"),
)  # fmt: skip
_DIRECTION = re.compile(r"[ :.+,_-]?(?:asc|desc)(?:ending)?$", re.IGNORECASE)

_vocabulary = _GENERAL


def install(vocabularies: Iterable[Vocabulary]) -> None:
    """Suggest the names of these as well, from now on and in the whole process: types validate without a request.

    Args:
        vocabularies: Of the slices. Of names that are in several, the first one's are looked for first.
    """
    global _vocabulary  # noqa: PLW0603 - see above
    every = (_GENERAL, *vocabularies)
    _vocabulary = Vocabulary(
        names=_together(one.names for one in every),
        words=_together(one.words for one in every),
        sorts=_together(one.sorts for one in every),
        unwritten=tuple(name for one in every for name in one.unwritten),
    )


def suggestion(name: str, known: Collection[str]) -> str:
    """A sentence that names what was meant, with a space before it, or nothing.

    Args:
        name: As the client wrote it.
        known: The names that it could have written there.
    """
    unwritten = {one: None for one in _vocabulary.unwritten if one not in known}
    return _did_you_mean(name, _names(known, _vocabulary.names) | unwritten)


def word_suggestion(word: str, known: Collection[str]) -> str:
    """As `suggestion`, for a value of which there are few."""
    return _did_you_mean(word, _names(known, _vocabulary.words))


def sort_suggestion(sort: str, known: Collection[str]) -> str:
    """As `suggestion`, for what a listing is sorted by. A direction is told in our way of writing it."""
    name = sort.strip("+- ")
    plain = _DIRECTION.sub("", name)
    goes_down = sort.startswith("-") or "desc" in name[len(plain) :].lower()
    return _did_you_mean(plain, _names(known, _vocabulary.sorts), "-" if goes_down else "")


def _together(several: Iterable[Names]) -> Names:
    found: dict[str, tuple[str, ...]] = {}
    for names in several:
        for other, ours in names.items():
            found[other] = found.get(other, ()) + ours
    return found


def _names(known: Collection[str], others: Names) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for other, ours in others.items():
        meant = next((one for one in ours if one in known), None)
        if meant is not None:
            found[other] = meant
    return found | {one: one for one in known}


def _did_you_mean(name: str, names: Mapping[str, str | None], before: str = "") -> str:
    # A name without one of ours is known and cannot be written.
    close = nearest(name, names)
    meant = None if close is None else names[close]
    return "" if meant is None else f" Did you mean {before}{meant}?"
