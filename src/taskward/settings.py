"""What is configured, and nothing else: one frozen `Settings`, read from the environment and `.env`.

Only `app` and `cli` build it; everything else is handed the values it needs.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from taskward.env_file import EnvFileError, read_names

_PREFIX = "TASKWARD_"
_ENV_FILE = Path(".env")
# With the signature that some editors put first, the first variable would be unknown and so ignored.
_ENV_FILE_ENCODING = "utf-8-sig"
_MINIMUM_SECRET_BYTES = 32  # RFC 7518, section 3.2: an HS256 key has at least the hash's size
# Examples that documentation, templates and tutorials publish: whoever copies one shares it with everybody.
_KNOWN_SECRETS = frozenset(
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
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"\w+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)"
)
_SERVICE_ADDRESS = ("tcp://", "udp://", "sctp://")
_FROM_KUBERNETES = (
    "Kubernetes sets it for a Service of that name: set enableServiceLinks: false in the pod, "
    "or name the Service otherwise"
)
# As the URL Standard serializes an origin: the host in small letters or Punycode, without the scheme's own port.
_WEB_ORIGIN = re.compile(r"(?!http://.*:80$|https://.*:443$)https?://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_APP_ORIGIN = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+")  # of an extension, or an app around a page
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Claims that are the same for every user of an issuer or an app, or change with every token.
_NOT_USERS = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "azp", "client_id", "scope", "scp"})

CommaList = Annotated[tuple[str, ...], NoDecode]


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one sentence that names it."""


class Settings(BaseSettings):
    """Taskward's configuration; `docs/settings.md` describes every member."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=_ENV_FILE,
        env_file_encoding=_ENV_FILE_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
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
    max_tasks: int = Field(100_000, ge=1, description="Tasks that one user may have, those in the trash included.")
    max_lists: int = Field(500, ge=1, description="Lists that one user may have.")
    max_tags: int = Field(2_000, ge=1, description="Different tags that one user's tasks may have.")
    max_import_bytes: int = Field(
        16 * 1024**2, ge=1024**2, le=1024**3, description="Bytes of a file of another service that is imported."
    )
    jwt_secret: SecretStr | None = Field(
        None, description="Shared secret of at least 32 bytes; several with commas between them, the newest first."
    )
    better_auth_secret: SecretStr | None = Field(
        None,
        validation_alias="BETTER_AUTH_SECRET",
        description="The same, under the name that Better Auth gives it.",
    )
    public_key: str | None = Field(
        None,
        repr=False,  # it may be a private key, until that is refused
        description="PEM of the issuer's public key, or a path to it.",
    )
    jwks_url: str | None = Field(None, description="Where the issuer publishes its keys.")
    issuer: str | None = Field(
        None, description="The `iss` that tokens must have, exactly; its keys are found by discovery."
    )
    algorithms: CommaList = Field((), description="The only algorithms that tokens may be signed with.")
    audience: CommaList = Field((), description="Audiences of which a token's `aud` must name one.")
    required_claims: CommaList = Field((), description="NAME=VALUE of claims that tokens must have.")
    reject_claims: CommaList = Field((), description="NAME=VALUE of claims that tokens must not have.")
    scopes: Literal["ignored", "enforced"] = Field(
        "ignored", description="`enforced`: reading needs the scope `tasks:read`, everything else `tasks:write`."
    )
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
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that `taskward serve` writes into its log."
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="How: a line of text, or of JSON; by default text on a terminal, and json otherwise."
    )
    access_log: bool = Field(default=False, description="Whether the log has a line for each request.")
    request_timeout: float = Field(30, gt=0, le=3600, description="Seconds that one request may take.")

    @field_validator("*", mode="before")
    @classmethod
    def _utf8(cls, value: Any, info: ValidationInfo) -> Any:
        # Other bytes in the environment arrive as surrogates. A path may have them.
        if isinstance(value, str) and info.field_name not in {"data_dir", "postgres_bin"} and _SURROGATE.search(value):
            raise ValueError("must be UTF-8")
        return value

    @field_validator(
        "audience", "algorithms", "required_claims", "reject_claims", "cors_origins", "trusted_proxies", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            parts = tuple(part.strip() for part in value.split(","))
            if not all(parts):
                raise ValueError("must be values separated by commas, none of them empty")
            return parts
        return value

    @field_validator("required_claims", "reject_claims")
    @classmethod
    def _conditions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            name, separator, wanted = pair.partition("=")
            if not name or not separator or name != name.strip() or wanted != wanted.strip():
                raise ValueError("must be pairs such as azp=https://app.example.com, separated by commas")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # They are compared as they are, so any other spelling than a browser's would never match.
        if not all(origin == "*" or _WEB_ORIGIN.fullmatch(origin) or _APP_ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError(
                "must be origins as browsers send them, such as https://app.example.com, with commas between them: "
                "no path, no * in a name, no capitals, no quotes or brackets, no port that goes without saying; or *"
            )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value if value != ("*",) else ():
            try:
                ip_network(address)
            except ValueError:
                # A name would never equal the address that a connection comes from.
                raise ValueError("must be addresses, or networks such as 10.0.0.0/8, or *") from None
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _small_letters(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("port", mode="before")
    @classmethod
    def _no_service_link(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_SERVICE_ADDRESS):
            raise ValueError(_FROM_KUBERNETES)
        return value

    @field_validator("user_claim")
    @classmethod
    def _names_a_user(cls, value: str) -> str:
        if value.partition(".")[0] in _NOT_USERS:
            raise ValueError(f"must be a claim that names a user, which {value} does not")
        return value

    @field_validator("root_path")
    @classmethod
    def _root(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("must start with /")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _no_owner_without_a_database(self) -> Self:
        # The embedded server would be used, and somebody would believe that their own was migrated.
        if self.migrate_url is not None and self.database_url is None:
            raise ValueError("TASKWARD_MIGRATE_URL is set and DATABASE_URL is not; set both, or DATABASE_URL alone")
        return self

    @model_validator(mode="after")
    def _one_kind_of_key(self) -> Self:
        secrets = {
            name: value
            for name, value in (
                ("TASKWARD_JWT_SECRET", _split_secrets(self.jwt_secret)),
                ("BETTER_AUTH_SECRET", _whole_secret(self.better_auth_secret)),
            )
            if value
        }
        if len(set(secrets.values())) > 1:
            raise ValueError("TASKWARD_JWT_SECRET and BETTER_AUTH_SECRET differ; set one of them")
        others = {"TASKWARD_PUBLIC_KEY": self.public_key, "TASKWARD_JWKS_URL": self.jwks_url}
        given = [*(name for name, value in others.items() if value is not None), *secrets]
        if len(given) > 1 and given != ["TASKWARD_JWT_SECRET", "BETTER_AUTH_SECRET"]:
            # Better Auth needs its secret whatever it signs with, and an app's .env is often shared.
            way_out = (
                ", or keep the secret that your app needs in an environment or a .env that Taskward does not read"
                if given[1] == "BETTER_AUTH_SECRET"
                else ""
            )
            raise ValueError(f"{given[0]} and {given[1]} exclude each other; set one of them{way_out}")
        for name, values in secrets.items():
            for secret in values:
                if len(values) > 1 and secret != secret.strip():
                    raise ValueError(f"{name} must have no spaces around its commas")
                _check_secret(name, secret)
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The shared secrets, the newest first, whichever name they were given by."""
        return _split_secrets(self.jwt_secret) or _whole_secret(self.better_auth_secret)

    @property
    def has_keys(self) -> bool:
        """Whether there is anything to verify tokens with."""
        return bool(self.secrets) or any(source is not None for source in (self.public_key, self.jwks_url, self.issuer))


def load_settings(**overrides: Any) -> Settings:
    """Read the environment and `.env`.

    Args:
        overrides: Settings by member name that win over both, such as command-line options.

    Raises:
        SettingsError: A setting is wrong, or a `TASKWARD_*` variable is not a setting.
    """
    _refuse_unknown([*os.environ, *_names_in_env_file()])
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


def _names_in_env_file() -> Iterable[str]:
    try:
        return read_names(_ENV_FILE, _ENV_FILE_ENCODING, set(variable_names().values()))
    except EnvFileError as error:
        raise SettingsError(str(error)) from None


def _refuse_unknown(names: Iterable[str]) -> None:
    # A misspelt TASKWARD_AUDIENCE would silently switch the check off.
    known = {name.removeprefix(_PREFIX): name for name in variable_names().values()}
    for name in names:
        # Settings are read in any case, as Windows has it.
        prefix, rest = name[: len(_PREFIX)].upper(), name[len(_PREFIX) :].upper()
        if prefix == _PREFIX and known.get(rest) != _PREFIX + rest:
            close = difflib.get_close_matches(rest, known, n=1)
            hint = f"; did you mean {known[close[0]]}?" if close else "."
            if _SERVICE_LINK.fullmatch(name) or os.environ.get(name, "").startswith(_SERVICE_ADDRESS):
                hint = f"; {_FROM_KUBERNETES}."
            raise SettingsError(f"{name} is not a setting of Taskward{hint}")


def _split_secrets(secrets: SecretStr | None) -> tuple[str, ...]:
    return tuple(secrets.get_secret_value().split(",")) if secrets else ()


def _whole_secret(secret: SecretStr | None) -> tuple[str, ...]:
    return (secret.get_secret_value(),) if secret else ()


def _check_secret(name: str, secret: str) -> None:
    if _ASYMMETRIC.search(secret):
        raise ValueError(f"{name} is a key of another kind; a public key belongs into TASKWARD_PUBLIC_KEY")
    if len(secret.encode()) < _MINIMUM_SECRET_BYTES:
        several = "; a comma separates two secrets" if name == "TASKWARD_JWT_SECRET" else ""
        raise ValueError(f"{name} must have at least {_MINIMUM_SECRET_BYTES} bytes{several}")
    if secret.strip() in _KNOWN_SECRETS or _repeats_itself(secret) or _repeats_itself(secret.strip()):
        raise ValueError(f"{name} is one that anybody can guess; make one with: openssl rand -hex 32")


def _repeats_itself(secret: str) -> bool:
    return any(secret[period:] == secret[:-period] for period in range(1, len(secret) // 2 + 1))


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return reason[0].upper() + reason[1:] + "."
    member = str(first["loc"][0])
    return f"{variable_names().get(member, member)}: {reason}."
