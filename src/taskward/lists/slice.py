"""The slice of lists."""

from __future__ import annotations

from taskward.http.slices import Slice
from taskward.lists.counts import COUNTS
from taskward.lists.limits import LISTS
from taskward.lists.lines import LINES
from taskward.lists.other_names import OTHER_NAMES
from taskward.lists.routes import router

SLICE = Slice(
    name="lists",
    description="Lists to sort tasks into.",
    router=router,
    limits=(LISTS,),
    other_names=OTHER_NAMES,
    counts=COUNTS,
    lines=LINES,
)
