"""The slice of exports and imports, which are of all that the other slices keep."""

from __future__ import annotations

from collections.abc import Iterable

from taskward.http.slices import Slice
from taskward.storage.export_lines import in_order
from taskward.transfer.routes import router_of


def transfer(slices: Iterable[Slice]) -> Slice:
    """The slice.

    Args:
        slices: Those that keep what is exported and imported.
    """
    kinds = in_order(one.lines for one in slices if one.lines is not None)
    return Slice(name="transfer", router=router_of(kinds))
