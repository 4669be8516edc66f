"""Who is asking: keys, tokens and the `Owner` that everything else is scoped to. No SQL lives here."""

from taskward.identity.keys import KeyConfigurationError, VerificationKey, load_key
from taskward.identity.owner import Caller, Owner, identity
from taskward.identity.tokens import Claims, TokenRejected, Verifier

__all__ = [
    "Caller",
    "Claims",
    "KeyConfigurationError",
    "Owner",
    "TokenRejected",
    "VerificationKey",
    "Verifier",
    "identity",
    "load_key",
]
