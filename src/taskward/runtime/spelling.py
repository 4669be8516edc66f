"""Finds the known name that an unknown one was meant for: of a setting, a parameter, a member or a value."""

from __future__ import annotations

import difflib
from collections.abc import Collection

# Nobody misspells more than this, and to compare takes longer the longer both are.
_LONGEST = 32
# Two letters of four that have changed their places are as close as this, and no more.
_CLOSE = 0.72
_JOINTS = str.maketrans("", "", "_- ")


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like another one, or None where none is like it. Case, `_`, `-` and spaces tell no
    names apart.
    """
    if len(name) > _LONGEST:
        return None
    plain = {_plain(one): one for one in known}
    meant = _plain(name)
    if meant not in plain:
        meant = next(iter(difflib.get_close_matches(meant, plain, n=1, cutoff=_CLOSE)), "")
    return plain.get(meant)


def _plain(name: str) -> str:
    return name.translate(_JOINTS).lower()
