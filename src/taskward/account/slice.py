"""The slice of the caller's account."""

from __future__ import annotations

from taskward.account.routes import router
from taskward.http.slices import Slice

SLICE = Slice(
    name="me",
    description="Your account: what the token says, export, import, erasure.",
    router=router,
)
