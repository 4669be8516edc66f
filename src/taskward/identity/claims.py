"""What the claims of a token must say, once its signature is known to be right (RFC 7519, section 4; RFC 9068)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

_LONGEST_USER_ID = 255
_LARGEST_SAFE_INTEGER = 2**53 - 1  # RFC 7493, section 2.2
# What is said of a claim that is not what it must be, by what that is.
_MISFITS: Mapping[Literal["string", "integer"], str] = {
    "string": "is not a string of 1 to 255 characters without control characters",
    "integer": "is not a whole number from 1 to 2^53 - 1",
}
_ANY = "*"
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3

Note = Callable[[str, object], None]
"""Told what was found right, as a sentence, and the value that it is about or None."""


class TokenRejected(Exception):
    """The token is not accepted.

    Attributes:
        reason: The check that failed, without any value of the token.
        found: What the token has there, for the one who configures the service; never for an answer or a log.
    """

    def __init__(self, reason: str, found: object = None) -> None:
        self.reason = reason
        self.found = found
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Attributes:
        user_id: The user claim.
        expires_at: `exp`, seconds since the epoch.
        not_before: The later of `nbf` and `iat`, seconds since the epoch, or minus infinity.
        scopes: Those of `scope` and `scp`.
    """

    user_id: str
    expires_at: float
    not_before: float
    scopes: frozenset[str] = frozenset()


ClaimConditions = Mapping[str, frozenset[str]]
"""Values by the name of a claim."""


def parse_conditions(pairs: Iterable[str]) -> ClaimConditions:
    """Conditions from `name=value` pairs; values of one name are alternatives, and `*` is any value at all."""
    conditions: dict[str, frozenset[str]] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        conditions[name] = conditions.get(name, frozenset()) | {value}
    return conditions


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What the claims of every token must say.

    Names of claims may have dots: `user.id` is the claim of that name if there is one, else member `id` of the
    claim `user`; to be rejected, anything that the name may mean is enough. Values of conditions are compared with
    strings as they are, with numbers and booleans as JSON writes them, and with each element of an array.

    Attributes:
        issuer: The exact `iss` that is required, or None.
        audience: Audiences of which one is required in `aud`, or empty.
        required: Claims that must have one of the values.
        rejected: Claims that may have none of the values.
        user_claim: The claim that is the user id.
        user_claim_type: What it must be. Never either: 42 and "42" may be two users of one issuer.
        leeway: Seconds by which clocks may differ.
    """

    issuer: str | None = None
    audience: tuple[str, ...] = ()
    required: ClaimConditions = field(default_factory=dict)
    rejected: ClaimConditions = field(default_factory=dict)
    user_claim: str = "sub"
    user_claim_type: Literal["string", "integer"] = "string"
    leeway: float = 30

    def read(self, payload: Mapping[str, Any], note: Note) -> Claims:
        """Check all but the times.

        Raises:
            TokenRejected: A rule is broken.
        """
        expires_at = _numeric_date(payload, "exp")
        if expires_at is None:
            raise TokenRejected("it has no expiry")
        starts = [start for name in ("nbf", "iat") if (start := _numeric_date(payload, name)) is not None]
        if self.issuer is not None:
            if payload.get("iss") != self.issuer:
                raise TokenRejected("it is from another issuer than TASKWARD_ISSUER", payload.get("iss"))
            note("it is from TASKWARD_ISSUER", None)
        if self.audience:
            self._check_audience(payload.get("aud"))
            note("it is for an audience of TASKWARD_AUDIENCE", payload["aud"])
        self._check_conditions(payload)
        if self.required or self.rejected:
            note("it has what TASKWARD_REQUIRED_CLAIMS asks for and nothing of TASKWARD_REJECT_CLAIMS", None)
        claim = _find(payload, self.user_claim)
        user_id = user_id_of(claim, self.user_claim_type)
        if user_id is None:
            found = "is not there" if claim is None else _MISFITS[self.user_claim_type]
            hint = "; TASKWARD_USER_CLAIM_TYPE says which of the two it is" if _is_of_the_other_type(claim) else ""
            raise TokenRejected(f"its user claim {self.user_claim} {found}{hint}")
        note(f"its user claim {self.user_claim} names a user", None)
        return Claims(user_id, expires_at, max(starts, default=-math.inf), _read_scopes(payload))

    def check_times(self, claims: Claims, now: float) -> None:
        """Check that a token holds at this moment.

        Raises:
            TokenRejected: It is over, or has not begun.
        """
        if now >= claims.expires_at + self.leeway:
            raise TokenRejected("it has expired", _readable(claims.expires_at))
        if now < claims.not_before - self.leeway:
            raise TokenRejected("it does not hold yet", _readable(claims.not_before))

    def _check_audience(self, audience: object) -> None:
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
            raise TokenRejected("its audience is missing or malformed", audience)
        if not set(self.audience).intersection(named):
            raise TokenRejected("it is for another audience than TASKWARD_AUDIENCE", audience)

    def _check_conditions(self, payload: Mapping[str, Any]) -> None:
        for name, values in self.required.items():
            claim = _find(payload, name)
            if values.isdisjoint(_spellings(claim)) and not (_ANY in values and claim is not None):
                missing = ", which TASKWARD_REQUIRED_CLAIMS asks for, is not there"
                wrong = " has another value than TASKWARD_REQUIRED_CLAIMS asks for"
                raise TokenRejected(f"its claim {name}{missing if claim is None else wrong}")
        for name, values in self.rejected.items():
            if any(_is_unwanted(claim, values) for claim in _meanings(payload, name)):
                raise TokenRejected(f"its claim {name} is what TASKWARD_REJECT_CLAIMS does not want")


def user_id_of(claim: object, claim_type: Literal["string", "integer"]) -> str | None:
    """The user that a claim names, or None where it is not of this type."""
    if claim_type == "string":
        return claim if isinstance(claim, str) and is_user_id(claim) else None
    # Not 0, which is what a number is that nobody has set, nor what JavaScript rounds to another user's.
    whole = isinstance(claim, int) and not isinstance(claim, bool) and 1 <= claim <= _LARGEST_SAFE_INTEGER
    return str(claim) if whole else None


def _is_of_the_other_type(claim: object) -> bool:
    return any(user_id_of(claim, claim_type) is not None for claim_type in _MISFITS)


def is_user_id(value: str) -> bool:
    """Tell whether a string may be a user's id: 1 to 255 characters, without control characters and surrogates."""
    return 1 <= len(value) <= _LONGEST_USER_ID and (value.isprintable() or not any(map(_is_unsafe, value)))


def _is_unsafe(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code <= 0xDFFF  # noqa: PLR2004 - C0, DEL and C1, surrogates


def _find(payload: Mapping[str, Any], name: str) -> object:
    return payload[name] if name in payload else _find_inside(payload, name)


def _find_inside(payload: Mapping[str, Any], name: str) -> object:
    value: object = payload
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _meanings(payload: Mapping[str, Any], name: str) -> Iterator[object]:
    """All that a name may mean, whichever of its dots go into an object, or into the objects of an array.

    What is not wanted must not be hidden by a claim of another name, nor because names such as addresses have dots.
    """
    pending: list[tuple[object, str]] = [(payload, name)]
    while pending:
        value, rest = pending.pop()
        if isinstance(value, list):
            pending += [(element, rest) for element in value]
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key == rest:
                    yield inner
                elif rest.startswith(f"{key}."):
                    pending.append((inner, rest[len(key) + 1 :]))


def _is_unwanted(claim: object, values: frozenset[str]) -> bool:
    # What cannot be compared could be the very thing that is not wanted, in another dress.
    parts = claim if isinstance(claim, list) else [claim]
    unsure = any(isinstance(part, dict | list) for part in parts) or (_ANY in values and claim is not None)
    return unsure or not values.isdisjoint(_spellings(claim))


def _spellings(claim: object) -> set[str]:
    values = claim if isinstance(claim, list) else [claim]
    return {spelling for value in values if (spelling := _spelling(value)) is not None}


def _spelling(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # to JSON, 1.0 is 1
    return str(value) if isinstance(value, int | float) else None


def _read_scopes(payload: Mapping[str, Any]) -> frozenset[str]:
    # `scope` is a string of names with spaces between them (RFC 8693, section 4.2); `scp` is some issuers' other
    # name for it, and some write either as an array.
    scopes: set[str] = set()
    for claim in (payload.get("scope"), payload.get("scp")):
        names = claim.split(" ") if isinstance(claim, str) else claim
        if isinstance(names, list):
            scopes.update(name for name in names if isinstance(name, str) and _SCOPE.fullmatch(name))
    return frozenset(scopes)


def _numeric_date(payload: Mapping[str, Any], name: str) -> float | None:
    if name not in payload:
        return None
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRejected(f"its {name} is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise TokenRejected(f"its {name} is not a finite number")
    return seconds


def _readable(seconds: float) -> str | float:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):  # beyond the calendar
        return seconds
