"""How the same is asked of who has an API of its own: other paths, tokens, statuses and lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench import data


class Dialect:
    """That of the requests as they are drawn, which most contenders were written for."""

    def tokens(self, dataset: data.Dataset, secret: str) -> Mapping[str, str]:
        """A bearer token per user id."""
        return dataset.tokens

    def request(self, one: data.Request) -> data.Request:
        """The request in its own words."""
        return one

    def status(self, due: int) -> int:
        """What it answers where the others answer `due`."""
        return due

    def rows(self, body: Any) -> Any:
        """The tasks in the answer to a listing."""
        return body


class PocketBase(Dialect):
    """PocketBase's API of records, as its own clients ask it, and for the toggle a route of a hook."""

    _RECORDS = "/api/collections/tasks/records"
    # Nobody else counts all tasks for a page either.
    _NEWEST = f"{_RECORDS}?perPage=50&sort=-created_at&skipTotal=1"
    _STATUSES: Mapping[int, int] = {201: 200, 401: 404, 403: 404}  # who may not see a record is told that there is none

    def tokens(self, dataset: data.Dataset, secret: str) -> Mapping[str, str]:
        """Those that a login would get: each user has a part of the key."""
        return {
            user.user_id: data.token(
                {"id": user.user_id, "type": "auth", "collectionId": "_pb_users_auth_", "refreshable": False},
                user.tokenKey + secret,
            )
            for user in dataset.users
        }

    def request(self, one: data.Request) -> data.Request:
        """The request about records; the owner of a new one is named by its body and checked by a rule."""
        if one.path.endswith("/complete"):
            return one
        match one.method, one.path:
            case "GET", data.BASE:
                return replace(one, path=self._NEWEST)
            case "GET", data.FILTERED:
                return replace(one, path=f"{self._NEWEST}&filter=completed=false")
            case "POST", _:
                body = json.dumps(json.loads(one.body) | {"user_id": one.user_id})
                return replace(one, path=self._RECORDS, body=body)
            case _:
                return replace(one, path=one.path.replace(data.BASE, self._RECORDS))

    def status(self, due: int) -> int:
        return self._STATUSES.get(due, due)

    def rows(self, body: Any) -> Any:
        return body["items"]
