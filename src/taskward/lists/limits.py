"""How many lists one user may have."""

from __future__ import annotations

from taskward.kit.limits import Limit

LISTS = Limit("lists", 500, "Remove a list first.")
