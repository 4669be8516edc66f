"""The addresses that PostgreSQL providers print, made fit for asyncpg.

asyncpg sends every parameter that it does not know to the server as a setting, which refuses the connection. Those
that only libpq, Prisma or a pooler understands are taken out here; what is left over and unknown is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg", "postgres+asyncpg"})
_KEPT = frozenset(
    {
        "host", "port", "user", "password", "dbname", "database", "passfile", "service", "servicefile",
        "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation", "direct_tls",
        "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib",
    }
)  # fmt: skip
_IGNORED = frozenset(
    {
        "channel_binding", "connect_timeout", "application_name", "fallback_application_name", "keepalives",
        "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "gssencmode",
        "require_auth", "target_session_attrs", "load_balance_hosts", "pgbouncer", "connection_limit", "pool_timeout",
        "statement_cache_size", "prepared_statement_cache_size", "prepareThreshold", "schema", "sslsni", "uselibpqcompat",
        "client_encoding", "supa",
    }
)  # fmt: skip
_POOLER_PORT = 6543  # where Supabase and PgBouncer's own documentation put transaction pooling


class AddressError(Exception):
    """A database URL cannot be used; the message is one sentence without its password."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is.

    Attributes:
        dsns: One URL per host, for asyncpg; tried in order.
        pooled: Whether a transaction pooler answers there, so that nothing may outlive a transaction.
    """

    dsns: tuple[str, ...]
    pooled: bool

    def __repr__(self) -> str:
        return f"Address({len(self.dsns)} host(s), pooled={self.pooled})"  # the URLs hold passwords


def parse_address(url: str, *, pooled: str = "auto", variable: str = "DATABASE_URL") -> Address:
    """Read a URL as libpq writes it (PostgreSQL documentation, section 34.1.1.2).

    Args:
        url: `postgres://`, `postgresql://` or `postgresql+asyncpg://`, with one host or several.
        pooled: `on`, `off`, or `auto` to judge by host, port and `pgbouncer=true`.
        variable: The setting's name, for messages.

    Raises:
        AddressError: It is no such URL, or has a parameter that nobody understands.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme not in _SCHEMES:
        raise AddressError(f"{variable} must start with postgresql://.")
    try:
        parts = urlsplit(f"postgresql://{rest}")
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        credentials, at, hosts = parts.netloc.rpartition("@")
        for host in hosts.split(","):
            _ = urlsplit(f"//{host}").port  # raises when it is none
        if parts.fragment or "@" in parts.path or (not at and "@" in parts.query):
            raise ValueError  # noqa: TRY301
    except ValueError:
        # The usual cause is one of these in the password: it ends the host, and asyncpg would quote what it takes for
        # a port, or look for a host of the user's name.
        raise AddressError(
            f"{variable} is not a URL that can be read; write / ? # @ % in its password as %2F %3F %23 %40 %25."
        ) from None
    if unknown := sorted(parameters.keys() - _KEPT - _IGNORED):
        raise AddressError(f"{variable} has a parameter that is not known: {unknown[0]}.")
    query = urlencode({name: value for name, value in parameters.items() if name in _KEPT})
    dsns = tuple(
        urlunsplit(("postgresql", f"{credentials}{at}{host}", parts.path, query, "")) for host in hosts.split(",")
    )
    if pooled == "auto":
        is_pooled = parameters.get("pgbouncer") == "true" or any(_looks_pooled(host) for host in hosts.split(","))
    else:
        is_pooled = pooled == "on"
    return Address(dsns, is_pooled)


def _looks_pooled(host: str) -> bool:
    name, _, port = unquote(host).rpartition(":")
    if not port.isdigit():
        name, port = unquote(host), ""
    # Neon marks its pooled endpoints in the first label.
    return port == str(_POOLER_PORT) or name.partition(".")[0].endswith("-pooler")
