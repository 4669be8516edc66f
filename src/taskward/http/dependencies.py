"""The dependencies that routes share."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated

from fastapi import Depends, Request

from taskward.http.entering import yields
from taskward.http.sending import room_of
from taskward.http.services import services
from taskward.identity import Caller, Owner, identity
from taskward.kit.limits import Limits
from taskward.runtime.timeouts import LIMIT_KEY
from taskward.runtime.unsent import Room
from taskward.storage.session import Session

CurrentCaller = Annotated[Caller, Depends(identity)]
"""Who sent the request; 401 where the token does not say."""


@yields
def owner_session(request: Request, caller: CurrentCaller) -> AbstractAsyncContextManager[Session]:
    """A session as the caller; see `session_of`."""
    return session_of(request, caller.owner)


def session_of(request: Request, owner: Owner) -> Session:
    """A session for a request, as an owner whose rows its caller may see: what it has written is committed before the
    answer is sent. See `Session`.

    A GET's cannot write.
    """
    shared = services(request)
    limit = request.scope.get(LIMIT_KEY)
    return shared.database.session(owner, read_only=request.method == "GET", limit=limit, after=shared.after_writes)


OwnerSession = Annotated[Session, Depends(owner_session)]
"""The caller's session; a store is built from it."""


def user_limits(request: Request) -> Limits:
    """How much one user may have."""
    return services(request).limits


UserLimits = Annotated[Limits, Depends(user_limits)]
"""How much the caller may have. Stores refuse more."""


def answer_room(request: Request, caller: CurrentCaller) -> Room:
    """The room of the answer."""
    return room_of(request, caller.user_id)


AnswerRoom = Annotated[Room, Depends(answer_room)]
"""How much may be read for this answer."""


def room_unless_over(room: AnswerRoom, _session: OwnerSession) -> Room:
    """Nothing is read while too many bytes of the caller's answers wait to be sent.

    It is looked at when there is a session: of many requests that came at once, all but a few have waited for one, and
    meanwhile the first answers were made. Whoever must wait for room leaves the session before.

    Raises:
        NeedsRoom: Too many do.
    """
    room.check()
    return room


UnlessOver = Annotated[Room, Depends(room_unless_over)]
"""The room of the answer, for routes whose answers may be large."""
