"""Which settings there are, what each may be, and which go together."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from taskward.known_secrets import check_secret

PREFIX = "TASKWARD_"
ENV_FILE = Path(".env")
# With the signature that some editors put first, the first variable would be unknown and so ignored.
ENV_FILE_ENCODING = "utf-8-sig"
SERVICE_ADDRESS = ("tcp://", "udp://", "sctp://")
FROM_KUBERNETES = (
    "Kubernetes sets it for a Service of that name: set enableServiceLinks: false in the pod, "
    "or name the Service otherwise"
)
# As the URL Standard serializes an origin: the host in small letters or Punycode, without the scheme's own port.
_WEB_ORIGIN = re.compile(r"(?!http://.*:80$|https://.*:443$)https?://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_APP_ORIGIN = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+")  # of an extension, or an app around a page
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Claims that are the same for every user of an issuer or an app, or change with every token.
_NOT_USERS = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "azp", "client_id", "scope", "scp"})

# What says where keys come from, by the values of TASKWARD_KEYS_FROM.
_SOURCES = {
    "secret": ("TASKWARD_JWT_SECRET", "BETTER_AUTH_SECRET"),
    "public-key": ("TASKWARD_PUBLIC_KEY",),
    "jwks-url": ("TASKWARD_JWKS_URL",),
    "issuer": ("TASKWARD_ISSUER",),
}
CommaList = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Taskward's configuration; `docs/settings.md` describes every member."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding=ENV_FILE_ENCODING,
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
    trash_days: int = Field(
        30, ge=0, le=36_500, description="Days after which a task in the trash is erased; 0: it stays for ever."
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
    keys_from: Literal["auto", "secret", "public-key", "jwks-url", "issuer"] = Field(
        "auto", description="The one of the settings above that counts, whatever the others are; `auto`: what is set."
    )
    plain_http_hosts: CommaList = Field((), description="Hosts from which keys may be fetched over http.")
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
    user_claim_type: Literal["string", "integer"] = Field(
        "string", description="What the user claim is; of an integer its digits are the user id."
    )
    leeway: int = Field(30, ge=0, le=60, description="Seconds by which clocks may differ.")
    cors_origins: CommaList = Field((), description="Origins whose pages may call the API, or `*`.")
    data_dir: Path | None = Field(None, description="Where the embedded server keeps its data and the secret.")
    postgres_bin: Path | None = Field(None, description="A `bin` folder of PostgreSQL for the embedded server.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=256, description="Worker processes.")
    root_path: str = Field("", description="The path under which a proxy serves the app, such as `/taskward`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that `taskward serve` writes into its log."
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="How: a line of text, or of JSON; by default text on a terminal, and json otherwise."
    )
    access_log: bool = Field(default=False, description="Whether the log has a line for each request.")
    unsent_per_user: int = Field(
        8 * 1024 * 1024, ge=1024 * 1024, description="Bytes of one user's answers that may wait to be sent, per worker."
    )
    unsent_per_worker: int = Field(
        32 * 1024 * 1024, ge=1024 * 1024, description="Bytes of all answers that may wait to be sent, per worker."
    )
    send_timeout: float = Field(
        30, ge=1, le=3600, description="Seconds after which a client that takes nothing of its answer is cut off."
    )
    request_timeout: float = Field(30, gt=0, le=3600, description="Seconds that one request may take.")

    @field_validator("*", mode="before")
    @classmethod
    def _utf8(cls, value: Any, info: ValidationInfo) -> Any:
        # Other bytes in the environment arrive as surrogates. A path may have them.
        if isinstance(value, str) and info.field_name not in {"data_dir", "postgres_bin"} and _SURROGATE.search(value):
            raise ValueError("must be UTF-8")
        return value

    @field_validator(
        "audience", "algorithms", "required_claims", "reject_claims", "cors_origins", "plain_http_hosts", mode="before"
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

    @field_validator("plain_http_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        if not all(_HOST.fullmatch(host) or _is_address(host) for host in hosts):
            raise ValueError("must be names or addresses of hosts, such as auth, with commas and nothing else: no port")
        return hosts

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _small_letters(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("port", mode="before")
    @classmethod
    def _no_service_link(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith(SERVICE_ADDRESS):
            raise ValueError(FROM_KUBERNETES)
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
    def _user_claim_has_a_type(self) -> Self:
        if self.user_claim_type == "integer" and self.user_claim == "sub":
            raise ValueError("TASKWARD_USER_CLAIM_TYPE is integer, and sub is a string; set TASKWARD_USER_CLAIM")
        return self

    @model_validator(mode="after")
    def _keys_are_there(self) -> Self:
        if self.keys_from != "auto" and not self._sources[self.keys_from]:
            names = " or ".join(_SOURCES[self.keys_from])
            raise ValueError(f"TASKWARD_KEYS_FROM is {self.keys_from}, and there is none; set {names}")
        return self

    @model_validator(mode="after")
    def _one_kind_of_key(self) -> Self:
        secrets = {
            name: value
            for name, value in (
                ("TASKWARD_JWT_SECRET", _split_secrets(self.jwt_secret)),
                ("BETTER_AUTH_SECRET", _whole_secret(self.better_auth_secret)),
            )
            if value and self._counts("secret")
        }
        if len(set(secrets.values())) > 1:
            raise ValueError("TASKWARD_JWT_SECRET and BETTER_AUTH_SECRET differ; set one of them")
        others = {"TASKWARD_PUBLIC_KEY": self.used_public_key, "TASKWARD_JWKS_URL": self.used_jwks_url}
        public = [name for name, value in others.items() if value is not None]
        if len(public) > 1:
            raise ValueError(f"{public[0]} and {public[1]} exclude each other; set one of them")
        if public and secrets and not self._names_both_kinds:
            first = next(iter(secrets))
            # Better Auth needs its secret whatever it signs with, and an app's .env is often shared.
            way_out = (
                f", or TASKWARD_KEYS_FROM={'jwks-url' if self.used_jwks_url else 'public-key'} where the secret is for "
                "your app alone"
                if first == "BETTER_AUTH_SECRET"
                else ""
            )
            raise ValueError(
                f"{public[0]} and {first} exclude each other; set one of them{way_out}, or TASKWARD_ALGORITHMS with "
                "algorithms of both to use both"
            )
        for name, values in secrets.items():
            for secret in values:
                if len(values) > 1 and secret != secret.strip():
                    raise ValueError(f"{name} must have no spaces around its commas")
                check_secret(name, secret)
        return self

    @property
    def limits(self) -> dict[str, int]:
        """How much one user may have, by the names of the limits."""
        return {"tasks": self.max_tasks, "lists": self.max_lists, "tags": self.max_tags}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The shared secrets that count, the newest first, whichever name they were given by."""
        return self._secrets if self._counts("secret") else ()

    @property
    def used_public_key(self) -> str | None:
        """The public key, if it counts."""
        return self.public_key if self._counts("public-key") else None

    @property
    def used_jwks_url(self) -> str | None:
        """The address of a key set, if it counts."""
        return self.jwks_url if self._counts("jwks-url") else None

    @property
    def has_keys(self) -> bool:
        """Whether there is anything to verify tokens with."""
        return any(self._sources.values())

    @property
    def has_only_secrets(self) -> bool:
        """Whether whoever signs tokens shares a secret, so that no other service's are accepted."""
        return bool(self.secrets) and self.used_public_key is None and self.used_jwks_url is None

    @property
    def _secrets(self) -> tuple[str, ...]:
        return _split_secrets(self.jwt_secret) or _whole_secret(self.better_auth_secret)

    @property
    def _sources(self) -> dict[str, Any]:
        return {
            "secret": self._secrets,
            "public-key": self.public_key,
            "jwks-url": self.jwks_url,
            "issuer": self.issuer,
        }

    def _counts(self, source: str) -> bool:
        return self.keys_from in {"auto", source}

    @property
    def _names_both_kinds(self) -> bool:
        return {name.startswith("HS") for name in self.algorithms} == {True, False}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _split_secrets(secrets: SecretStr | None) -> tuple[str, ...]:
    return tuple(secrets.get_secret_value().split(",")) if secrets else ()


def _whole_secret(secret: SecretStr | None) -> tuple[str, ...]:
    return (secret.get_secret_value(),) if secret else ()
