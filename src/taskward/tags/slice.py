"""The slice of tags."""

from __future__ import annotations

from taskward.http.slices import Slice
from taskward.tags.counts import COUNTS
from taskward.tags.other_names import OTHER_NAMES
from taskward.tags.routes import router
from taskward.tasks.limits import TAGS

SLICE = Slice(
    name="tags",
    description="Labels of tasks, each changed on all of them at once.",
    router=router,
    limits=(TAGS,),
    other_names=OTHER_NAMES,
    counts=COUNTS,
)
