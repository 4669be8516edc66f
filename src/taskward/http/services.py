"""What requests are served with. An app has it as its `state`, and routes are given it with its types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request

from taskward.http.failures import Failures
from taskward.http.spooling import Spools
from taskward.identity.owner import Verification
from taskward.kit.limits import Limits
from taskward.runtime.fairness import LongWork
from taskward.runtime.timeouts import Timeouts
from taskward.runtime.unsent import Unsent
from taskward.storage.database import Database
from taskward.storage.session import AfterWrite


@dataclass
class Services(Verification):
    """What all requests of an app share.

    Attributes:
        timeouts: How long a request may take.
        spools: Where bodies go that are too large to be kept in memory.
        spools_of_records: Where records go that were made of such bodies.
        after_writes: Told of each owner's account after a write.
        unsent: How much memory answers may take while they wait to be sent.
        failures: Told of requests that end in an error.
    """

    timeouts: Timeouts
    long_work: LongWork
    spools: Spools
    spools_of_records: Spools
    database: Database
    limits: Limits
    after_writes: tuple[AfterWrite, ...]
    unsent: Unsent
    failures: Failures


def services(request: Request) -> Services:
    """What the app of a request serves it with."""
    found: Services = request.scope["app"].state
    return found


def services_of(app: Any) -> Services:
    """What an app serves its requests with."""
    found: Services = app.state
    return found
