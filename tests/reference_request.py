"""A request, and the paths that there are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from tests.reference_world import User

BASE = "/api/v1"
TASKS = f"{BASE}/tasks"
TASK = f"{TASKS}/{{task_id}}"
LISTS = f"{BASE}/lists"
LIST = f"{LISTS}/{{list_id}}"
TAGS = f"{BASE}/tags"
TAG = f"{TAGS}/{{tag:path}}"
NO_IDS = ("x", "0" * 36, "null", "%", "'; --")

Route = tuple[str, str]


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        path: As in the route table.
        target: What stands in the path for its parameter: an id, or a tag.
        fault: The status that it must have whatever there is, because something is wrong with the request itself.
        pointer: What a 422 of this fault must name.
        good_token: Whether it is sent with the user's token.
        inner: Of a batch, the request that its one operation stands for.
    """

    method: str
    path: str
    target: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    fault: int = 0
    pointer: str = ""
    good_token: bool = True
    inner: Ask | None = None

    @property
    def url(self) -> str:
        return re.sub(r"\{[^}]*\}", lambda _: quote(self.target, safe=""), self.path)

    @property
    def route(self) -> Route:
        return ("GET" if self.method == "HEAD" else self.method, self.path)

    @property
    def resource(self) -> str:
        return self.path.removeprefix(f"{BASE}/").partition("/")[0]

    def sending(self, user: User) -> dict[str, Any]:
        """The arguments for a client's `request`."""
        token = {"Authorization": f"Bearer {user.token}"} if self.good_token else {}
        # Nothing of this is anybody's identity.
        lies = {"X-User-Id": "canary", "X-Forwarded-User": "canary", "Cookie": "user_id=canary"}
        sent: dict[str, Any] = {"params": self.params, "headers": {**token, **lies, **self.headers}}
        if self.body is not None:
            sent["json"] = self.body
        return {"method": self.method, "url": self.url, **sent}
