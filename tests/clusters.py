"""Where a running PostgreSQL is."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL.

    Attributes:
        superuser: A URL of a superuser on the database `postgres`.
        owner: A URL of a role that may create roles and owns its databases, as a provider hands it out; on Citus, of
            the role that requests run as.
    """

    superuser: str
    owner: str

    def url(self, database: str, *, superuser: bool = False) -> str:
        parts = urlsplit(self.superuser if superuser else self.owner)
        return urlunsplit(parts._replace(path=f"/{database}"))
