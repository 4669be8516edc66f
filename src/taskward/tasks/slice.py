"""The slice of tasks."""

from __future__ import annotations

from taskward.http.slices import Slice
from taskward.tasks.counts import COUNTS
from taskward.tasks.limits import TASKS
from taskward.tasks.lines import LINES
from taskward.tasks.other_names import OTHER_NAMES
from taskward.tasks.routes import router

SLICE = Slice(
    name="tasks",
    description="Your tasks: read, write, complete, move, trash and restore them.",
    router=router,
    limits=(TASKS,),
    other_names=OTHER_NAMES,
    counts=COUNTS,
    lines=LINES,
)
