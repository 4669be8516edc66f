"""Which known name somebody meant who wrote one that is not known: a setting, a parameter or a member."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

# Nobody misspells more than this, and to compare takes longer the longer both are.
_LONGEST = 32
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like another one, or None where none is like it."""
    if len(name) > _LONGEST:
        return None
    close = difflib.get_close_matches(name, known, n=1)
    return close[0] if close else None


def in_snake_case(name: str) -> str:
    """A name as this API writes names: `due_date` for `dueDate`, `due-date` and `Due Date`."""
    return _HUMP.sub("_", name[: _LONGEST + 1]).replace("-", "_").replace(" ", "_").lower()
