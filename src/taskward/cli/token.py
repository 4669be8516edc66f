"""`taskward token`: a token for trying things out and for tests of an app that uses Taskward."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from taskward.cli.environment import with_development_secret
from taskward.cli.failures import CommandError
from taskward.identity.claims import is_user_id, user_id_of
from taskward.identity.keys import ALGORITHMS, secret_keys
from taskward.identity.owner import READ_SCOPE, WRITE_SCOPE
from taskward.identity.tokens import sign
from taskward.settings import Settings, load_settings

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DIGITS = re.compile(r"[0-9]{1,16}")
_TTL = re.compile(r"([1-9][0-9]{0,8})([smhd]?)")


def print_token(user_id: str, ttl: str, claims: Sequence[str]) -> int:
    settings = with_development_secret(load_settings())
    if not settings.secrets:
        if settings.has_keys:
            reason = "with public keys only your issuer can make tokens"
        elif settings.database_url is not None:
            reason = "set TASKWARD_JWT_SECRET or BETTER_AUTH_SECRET"
        else:
            reason = (
                "set TASKWARD_JWT_SECRET, or start `taskward serve` once, which makes one for development, and set "
                "TASKWARD_DATA_DIR as for it"
            )
        raise CommandError(f"There is no shared secret to make a token with: {reason}.")
    if settings.user_claim_type == "integer":
        if user_id_of(_integer(user_id), "integer") != user_id:
            raise CommandError("--sub must be a whole number from 1 to 2^53 - 1, as TASKWARD_USER_CLAIM_TYPE has it.")
    elif not is_user_id(user_id):
        raise CommandError("--sub must be 1 to 255 characters, none of them a control character.")
    sys.stdout.write(make_token(settings, user_id, _seconds(ttl), _parse_claims(claims)) + "\n")
    return 0


def make_token(settings: Settings, user_id: str, ttl: int, claims: dict[str, Any] | None = None) -> str:
    """A token that this configuration accepts, signed with its newest shared secret.

    Args:
        ttl: Seconds until it expires.
        claims: Further claims; they win over the ones that are made here.
    """
    now = int(time.time())
    made: dict[str, Any] = {"iat": now, "exp": now + ttl}
    if settings.issuer is not None:
        made["iss"] = settings.issuer
    if settings.audience:
        made["aud"] = settings.audience[0]
    if settings.scopes == "enforced":
        made["scope"] = f"{READ_SCOPE} {WRITE_SCOPE}"
    for pair in reversed(settings.required_claims):
        name, _, value = pair.partition("=")
        _put(made, name, value)
    _put(made, settings.user_claim, int(user_id) if settings.user_claim_type == "integer" else user_id)
    key = secret_keys(settings.secrets, frozenset(settings.algorithms) or ALGORITHMS).keys[0]
    return sign({**made, **(claims or {})}, settings.secrets[0], key.algorithms[0])


def _integer(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _put(claims: dict[str, Any], name: str, value: str | int) -> None:
    *objects, last = name.split(".")
    for part in objects:
        claims = claims.setdefault(part, {})
    claims[last] = value


def _seconds(ttl: str) -> int:
    match = _TTL.fullmatch(ttl)
    if match is None:
        raise CommandError("--ttl must be a number and a unit, such as 90s, 30m, 24h or 7d.")
    return int(match[1]) * _UNITS[match[2]]


def _parse_claims(claims: Sequence[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for claim in claims:
        name, separator, value = claim.partition("=")
        if not separator or not name:
            raise CommandError(f"--claim must be NAME=VALUE, not {claim!r}.")
        try:
            parsed[name] = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            parsed[name] = value
    return parsed


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's
