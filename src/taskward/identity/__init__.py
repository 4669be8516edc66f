"""Who is asking: keys, tokens and the `Owner` that everything else is scoped to. No SQL lives here."""

from taskward.identity.claims import ClaimRules, Claims, TokenRejected, parse_conditions
from taskward.identity.issuer import FetchError
from taskward.identity.keyring import KeyRing, load_keys
from taskward.identity.keys import KeyConfigurationError
from taskward.identity.owner import Caller, Owner, identity
from taskward.identity.tokens import KeyNotFound, KeysNotFetched, NotCompact, Verifier

__all__ = [
    "Caller",
    "ClaimRules",
    "Claims",
    "FetchError",
    "KeyConfigurationError",
    "KeyNotFound",
    "KeyRing",
    "KeysNotFetched",
    "NotCompact",
    "Owner",
    "TokenRejected",
    "Verifier",
    "identity",
    "load_keys",
    "parse_conditions",
]
