"""The table of files that were imported."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Column, LargeBinary, Uuid, func
from sqlmodel import Field

from taskward.storage.tables import OwnedTable, owner_column, table_args, timestamp_column


class ImportedFile(OwnedTable, table=True):
    """A file of another service that was imported, so that it is not imported twice while what it brought is there.

    Attributes:
        digest: Of its content and of how it was read.
        ids: Of the lists and tasks that it brought.
    """

    __tablename__ = "imported_file"
    __table_args__ = table_args(insert=("created_at",))

    user_id: str = owner_column()
    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    ids: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False))
    created_at: datetime = timestamp_column(default=func.now())
