"""What is configured, and nothing else: one frozen `Settings`, read from the environment and `.env`.

Only `app` and `cli` build it; everything else is handed the values it needs.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_PREFIX = "TASKWARD_"
_MINIMUM_SECRET_BYTES = 32  # RFC 7518, section 3.2: an HS256 key has at least the hash's size
_FEWEST_CHARACTERS = 5  # different ones; fewer were typed to fill the length
_KNOWN_SECRETS = frozenset(
    {
        "better-auth-secret-123456789",
        "better-auth-secret-12345678901234567890",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    }
)

CommaList = Annotated[tuple[str, ...], NoDecode]


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one sentence that names it."""


class Settings(BaseSettings):
    """Taskward's configuration; `docs/settings.md` describes every member."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL 15 or newer. Unset: an embedded server is created and run.",
    )
    migrate_url: SecretStr | None = Field(None, description="A role that owns the schema, used by migrations only.")
    migrate: Literal["auto", "off"] = Field(
        "auto", description="`auto`: `serve` migrates before it listens; `off`: it refuses when the schema is behind."
    )
    pooled: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether DATABASE_URL is a transaction pooler's address (PgBouncer); `auto` looks at it."
    )
    pool_size: int = Field(10, ge=1, le=1000, description="Database connections per worker.")
    jwt_secret: SecretStr | None = Field(None, description="Shared secret of HS256 tokens, at least 32 bytes.")
    better_auth_secret: SecretStr | None = Field(
        None,
        validation_alias="BETTER_AUTH_SECRET",
        description="The same, under the name that Better Auth gives it.",
    )
    public_key: str | None = Field(None, description="PEM of the issuer's RSA or P-256 public key, or a path to it.")
    issuer: str | None = Field(None, description="The `iss` that tokens must have, exactly.")
    audience: CommaList = Field((), description="Audiences of which a token's `aud` must name one.")
    user_claim: str = Field("sub", min_length=1, description="The claim that is the user id; dots go into objects.")
    leeway: int = Field(30, ge=0, le=60, description="Seconds by which clocks may differ.")
    cors_origins: CommaList = Field((), description="Origins whose pages may call the API, or `*`.")
    data_dir: Path | None = Field(None, description="Where the embedded server keeps its data and the secret.")
    postgres_bin: Path | None = Field(None, description="A `bin` folder of PostgreSQL for the embedded server.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=256, description="Worker processes.")
    root_path: str = Field("", description="The path under which a proxy serves the app, such as `/taskward`.")
    trusted_proxies: CommaList = Field((), description="Addresses or networks whose X-Forwarded-* are believed.")
    request_timeout: float = Field(30, gt=0, le=3600, description="Seconds that one request may take.")

    @field_validator("audience", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            parts = tuple(part.strip() for part in value.split(","))
            if not all(parts):
                raise ValueError("must be values separated by commas, none of them empty")
            return parts
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, separator, rest = origin.partition("://")
            if origin != "*" and (not separator or not scheme or not rest or "/" in rest):
                raise ValueError("must be origins such as https://app.example.com, without a path, or *")
        return value

    @field_validator("root_path")
    @classmethod
    def _root(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("must start with /")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_kind_of_key(self) -> Self:
        secrets = {s.get_secret_value() for s in (self.jwt_secret, self.better_auth_secret) if s is not None}
        if len(secrets) > 1:
            raise ValueError("TASKWARD_JWT_SECRET and BETTER_AUTH_SECRET differ; set one of them")
        if secrets and self.public_key is not None:
            raise ValueError("TASKWARD_PUBLIC_KEY and a shared secret exclude each other; set one of them")
        for secret in secrets:
            _check_secret(secret)
        return self

    @property
    def secret(self) -> str | None:
        """The shared secret, whichever name it was given by."""
        chosen = self.jwt_secret or self.better_auth_secret
        return chosen.get_secret_value() if chosen else None


def load_settings(**overrides: Any) -> Settings:
    """Read the environment and `.env`.

    Args:
        overrides: Settings by member name that win over both, such as command-line options.

    Raises:
        SettingsError: A setting is wrong, or a `TASKWARD_*` variable is not a setting.
    """
    env_file = Settings.model_config["env_file"]
    names = [*os.environ, *(dotenv_values(env_file) if isinstance(env_file, str) and Path(env_file).is_file() else ())]
    _refuse_unknown(names)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def variable_names() -> dict[str, str]:
    """The environment variable of each member of `Settings`."""
    names = {}
    for member, field in Settings.model_fields.items():
        alias = field.validation_alias
        names[member] = alias if isinstance(alias, str) else _PREFIX + member.upper()
    return names


def _refuse_unknown(names: Iterable[str]) -> None:
    # A misspelt TASKWARD_AUDIENCE would silently switch the check off.
    known = set(variable_names().values())
    for name in names:
        if name.startswith(_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise SettingsError(f"{name} is not a setting of Taskward{hint}")


def _check_secret(secret: str) -> None:
    if secret.lstrip().startswith("-----BEGIN"):
        raise ValueError("the shared secret is a PEM key; a public key belongs into TASKWARD_PUBLIC_KEY")
    if len(secret.encode()) < _MINIMUM_SECRET_BYTES:
        raise ValueError(f"the shared secret must have at least {_MINIMUM_SECRET_BYTES} bytes")
    if secret in _KNOWN_SECRETS or len(set(secret)) < _FEWEST_CHARACTERS:
        raise ValueError("the shared secret is one that anybody can guess; make one with: openssl rand -hex 32")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return reason[0].upper() + reason[1:] + "."
    member = str(first["loc"][0])
    return f"{variable_names().get(member, member)}: {reason}."
