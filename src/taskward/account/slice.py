"""The slice of the caller's account, which is made of what the other slices keep."""

from __future__ import annotations

from collections.abc import Sequence

from taskward.account.routes import router_of
from taskward.http.slices import Slice


def account(slices: Sequence[Slice]) -> Slice:
    """The slice.

    Args:
        slices: Those of whose rows an account consists.
    """
    counts = tuple(one.counts for one in slices if one.counts is not None)
    limits = tuple(limit for one in slices for limit in one.limits)
    return Slice(
        name="me",
        description="Your account: what the token says, export, import, erasure.",
        router=router_of(counts, limits),
    )
