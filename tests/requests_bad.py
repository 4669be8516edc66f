"""What members and parameters must not be."""

from __future__ import annotations

from typing import Any

from tests.task_values import FILTERS, MEMBERS

BAD: dict[str, tuple[Any, ...]] = {
    **{name: values.bad for name, values in MEMBERS.items()},
    **dict.fromkeys(("position", "version", "created_at", "updated_at", "deleted_at"), ("x", None)),
}
"""What members must not be, and those that clients never write."""

BAD_FILTERS: dict[str, tuple[Any, ...]] = {name: values.bad for name, values in FILTERS.items()}
"""What parameters must not be."""
