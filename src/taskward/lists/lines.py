"""Lists in exports and imports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from taskward.kit.limits import Limits
from taskward.kit.ordering import Position, written_position
from taskward.kit.types import Ignored, NewId
from taskward.lists.schemas import EXAMPLE, ListCreate
from taskward.lists.store import ListStore, export_lists
from taskward.lists.table import TaskList
from taskward.storage.account_lock import AccountLock
from taskward.storage.export_lines import ExportLines, flat_reader, flat_writer
from taskward.storage.session import Session


class ListLine(ListCreate):
    """A list in an export."""

    type: Literal["list"]
    id: NewId
    position: Position | None = None
    user_id: Ignored = None
    version: Ignored = None
    created_at: Ignored = None
    updated_at: Ignored = None

    def values(self) -> dict[str, Any]:
        """The columns that are written."""
        return {
            "id": self.id,
            "name": self.name,
            "color": self.color,
            "position": written_position(self.position, self.id),
        }


async def _put_back(session: Session, lock: AccountLock, limits: Limits, lines: Sequence[ListLine]) -> int:
    return await ListStore(session, limits).insert_exported(lock, (line.values() for line in lines))


LINES = ExportLines(
    kind="list",
    plural="lists",
    table=TaskList,
    line=ListLine,
    example={"id": EXAMPLE["id"], "name": EXAMPLE["name"]},
    reader=flat_reader(export_lists),
    writer=flat_writer(_put_back),
)
