"""Shared secrets that protect nothing: short ones, and those that anybody can guess."""

from __future__ import annotations

import re

_MINIMUM_SECRET_BYTES = 32  # RFC 7518, section 3.2: an HS256 key has at least the hash's size
_REMEDY = "make one with: openssl rand -hex 32"
# Examples that documentation, templates and tutorials publish: whoever copies one shares it with everybody.
KNOWN_SECRETS = frozenset(
    {
        "better-auth-secret-12345678901234567890",  # Better Auth
        "your-super-secret-jwt-token-with-at-least-32-characters-long",  # Supabase
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",  # Flask
        "reallyreallyreallyreallyverysafe",  # PostgREST
        "gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr9C",
        "3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R",  # Hasura
        "a-string-secret-at-least-256-bits-long",  # jwt.io
        "a-valid-string-secret-that-is-at-least-384-bits-long",
        "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",  # RFC 7515, A.1.1
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",  # Spring Boot tutorials
        "255d861b-5ea1-5996-9aa3-922530ec40b1",  # Directus
        "6116487b-cda1-52c2-b5b5-c8022c45e263",
        "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",  # Superset
        "YOUR_OWN_RANDOM_GENERATED_SECRET_KEY",
        "your-super-secret-jwt-key-change-this-in-production",  # templates of many
        "abcdefghijklmnopqrstuvwxyz123456",
        "abcdefghijklmnopqrstuvwxyz0123456789",
    }
)
# What python-jose takes for an asymmetric key; it would refuse to make a secret of it.
_ASYMMETRIC = re.compile(r"----[- ]BEGIN |ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp|-cert-v01@openssh\.com")


def check_secret(name: str, secret: str) -> None:
    """Check a secret of the variable `name`.

    Raises:
        ValueError: It is short, known, or a key of another kind.
    """
    if _ASYMMETRIC.search(secret):
        raise ValueError(f"{name} is a key of another kind; a public key belongs into TASKWARD_PUBLIC_KEY")
    if len(secret.encode()) < _MINIMUM_SECRET_BYTES:
        several = "; a comma separates two secrets" if name == "TASKWARD_JWT_SECRET" else ""
        raise ValueError(f"{name} must have at least {_MINIMUM_SECRET_BYTES} bytes{several}; {_REMEDY}")
    if secret.strip() in KNOWN_SECRETS or _repeats_itself(secret) or _repeats_itself(secret.strip()):
        raise ValueError(f"{name} is one that anybody can guess; {_REMEDY}")


def _repeats_itself(secret: str) -> bool:
    return any(secret[period:] == secret[:-period] for period in range(1, len(secret) // 2 + 1))
