"""The one reusable dependency for identity: it finds the `Caller` by a token, and the `Owner` of the caller's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from taskward.errors import InsufficientScope, InvalidToken, KeysUnavailable, NotAuthenticated
from taskward.identity.claims import Claims, TokenRejected
from taskward.identity.keys import KeyName
from taskward.identity.tokens import KeyNotFound, KeysNotFetched, Verifier

READ_SCOPE = "tasks:read"
WRITE_SCOPE = "tasks:write"
_ABOUT_TOKENS = (
    "A JWT of your identity provider, without `Bearer` before it. To try things out where the service has a shared "
    "secret, as it does when it was started without any setting: `uv run taskward token --sub alice` prints one."
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose rows a session may see. A caller's is made of the verified token, and no other is made in the service."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        owner: Whose rows are the caller's own. What a session is scoped to is the session's own owner.
        expires_at: When the token expires, in seconds since the epoch.
        scopes: What the token allows, as far as scopes are enforced.
    """

    owner: Owner
    expires_at: float
    scopes: frozenset[str]

    @property
    def user_id(self) -> str:
        """The token's user: whose requests these are, whosever rows they are about."""
        return self.owner.user_id


@dataclass
class Verification:
    """The part of an app's state that this module reads: what callers are verified with.

    Attributes:
        scopes_enforced: Whether a token must have the scope of the method.
    """

    verifier: Verifier
    scopes_enforced: bool


class BearerToken(SecurityBase):
    """Takes the token out of the `Authorization` header (RFC 6750, section 2.1)."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description=_ABOUT_TOKENS)
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> str:
        """
        Raises:
            NotAuthenticated: There is no bearer token.
            InvalidToken: There are two, or it is not ASCII.
        """
        values: list[bytes] = [value for name, value in request.scope["headers"] if name == b"authorization"]
        if not values:
            raise NotAuthenticated(reason="there is no Authorization header")
        if len(values) > 1:
            raise InvalidToken(reason="there are several Authorization headers")
        scheme, _, token = values[0].partition(b" ")
        if scheme.lower() != b"bearer":
            raise NotAuthenticated(reason="the Authorization header has no bearer token")
        try:
            return token.strip(b" ").decode("ascii")
        except UnicodeDecodeError:
            raise InvalidToken(reason="it is not ASCII") from None


async def identity(request: Request, token: Annotated[str, Security(BearerToken())]) -> Caller:
    """The caller, from a verified token. No SQL is involved.

    Raises:
        InvalidToken: The token is not accepted.
        KeysUnavailable: No token can be verified at the moment.
        InsufficientScope: Scopes are enforced, and the token does not have the one that this method needs.
    """
    verification: Verification = request.scope["app"].state
    verifier = verification.verifier
    try:
        claims = verifier.verify(token)
    except (KeyNotFound, KeysNotFetched) as unknown:
        claims = await _verify_with_newer_keys(verifier, token, unknown.wanted)
    except TokenRejected as rejected:
        raise InvalidToken(reason=rejected.reason) from None
    if verification.scopes_enforced:
        needed = READ_SCOPE if request.method == "GET" else WRITE_SCOPE
        if needed not in claims.scopes:
            raise InsufficientScope(needed)
    return Caller(Owner(claims.user_id), claims.expires_at, claims.scopes)


async def _verify_with_newer_keys(verifier: Verifier, token: str, wanted: KeyName) -> Claims:
    certain = await verifier.keys.look_again(wanted)
    try:
        return verifier.verify(token)
    except (KeyNotFound, KeysNotFetched) as unknown:
        if certain and isinstance(unknown, KeyNotFound):
            raise InvalidToken(reason=unknown.reason) from None
        # The issuer may have made a new key while it is out of reach: whoever has a token of it should not log in anew.
        raise KeysUnavailable(
            verifier.keys.retry_after, reason=f"{unknown}, and the issuer has not been asked since"
        ) from None
    except TokenRejected as rejected:
        raise InvalidToken(reason=rejected.reason) from None
