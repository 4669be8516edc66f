"""The addresses that PostgreSQL providers print, made fit for asyncpg.

asyncpg sends every parameter that it does not know to the server as a setting, which refuses the connection. Those
that only libpq, Prisma or a pooler understands are taken out here; what is left over and unknown is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlunsplit

_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg", "postgres+asyncpg"})
_KEPT = frozenset(
    {
        "user", "password", "dbname", "database", "passfile", "service", "servicefile",
        "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation", "direct_tls",
        "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib",
    }
)  # fmt: skip
_IGNORED = frozenset(
    {
        "channel_binding", "connect_timeout", "application_name", "fallback_application_name", "keepalives",
        "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "gssencmode",
        "require_auth", "target_session_attrs", "load_balance_hosts", "pgbouncer", "connection_limit", "pool_timeout",
        "statement_cache_size", "prepared_statement_cache_size", "prepareThreshold", "schema", "sslsni",
        "uselibpqcompat", "client_encoding", "supa",
    }
)  # fmt: skip
_LAST_PORT = 65535
_POOLER_PORT = 6543  # where Supabase and PgBouncer's own documentation put transaction pooling


class AddressError(Exception):
    """A database URL cannot be used; the message is one sentence without its password."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is.

    Attributes:
        dsns: One URL per host, for asyncpg; tried in order.
        pooled: Whether a transaction pooler answers there, so that nothing may outlive a transaction.
        assumed_direct: Whether nobody said that none does, and it only does not look like one.
    """

    dsns: tuple[str, ...]
    pooled: bool
    assumed_direct: bool = False

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
    # Not `urlsplit`, which takes an IPv6 address beside other hosts in some versions of Python and not in others.
    before_query, _, query = rest.partition("?")
    authority, slash, path = before_query.partition("/")
    # What follows a stray / ? or # may be the rest of a password, so nothing of such a URL is repeated.
    stray = "#" in rest or ("@" in rest and "@" not in authority)
    if stray or authority.count("[") != authority.count("]"):
        hint = "characters such as / ? # @ in a user or password must be percent-encoded"
        raise AddressError(f"{variable} is not a URL that can be read; {hint}.")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    credentials, at, netloc = authority.rpartition("@")
    try:
        hosts = _hosts(netloc, parameters.pop("host", ""), parameters.pop("port", ""))
    except ValueError:
        raise AddressError(
            f"{variable} has a port that is not a number from 1 to 65535, or not one per host."
        ) from None
    if unknown := sorted(parameters.keys() - _KEPT - _IGNORED):
        raise AddressError(f"{variable} has a parameter that is not known: {unknown[0]}.")
    kept = {name: value for name, value in parameters.items() if name in _KEPT}
    # asyncpg takes the first @ for the last.
    user = credentials.replace("@", "%40") + at
    dsns = tuple(_dsn(user, host, port, slash + path, kept) for host, port in hosts)
    if pooled == "auto":
        is_pooled = parameters.get("pgbouncer") == "true" or any(_looks_pooled(host, port) for host, port in hosts)
    else:
        is_pooled = pooled == "on"
    return Address(dsns, is_pooled, assumed_direct=pooled == "auto" and not is_pooled)


def _hosts(netloc: str, named: str, ports: str) -> list[tuple[str, str]]:
    """The hosts as parameters, one by one. As in libpq, parameters win over what stands before the path.

    Raises:
        ValueError: A port is none, or there are not as many ports as hosts.
    """
    found = [_split_port(host) for host in netloc.split(",")]
    if named:
        found = [(host, found[0][1] if len(found) == 1 and not ports else "") for host in named.split(",")]
    if ports:
        given = ports.split(",")
        given *= len(found) if len(given) == 1 else 1
        found = [(host, port) for (host, _), port in zip(found, given, strict=True)]
    for _, port in found:
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
            raise ValueError
    return found


def _split_port(text: str) -> tuple[str, str]:
    address, bracket, port = text.rpartition("]")
    if bracket:
        if port and not port.startswith(":"):
            raise ValueError
        return address.removeprefix("["), port.removeprefix(":")
    host, _, port = text.partition(":")
    return unquote(host), port


def _dsn(user: str, host: str, port: str, path: str, parameters: dict[str, str]) -> str:
    if not host or host.startswith("/"):
        named = {name: value for name, value in (("host", host), ("port", port)) if value}
        return urlunsplit(("postgresql", user, path, urlencode(parameters | named), ""))
    address = (f"[{host}]" if ":" in host else quote(host)) + (f":{port}" if port else "")
    return urlunsplit(("postgresql", user + address, path, urlencode(parameters), ""))


def _looks_pooled(host: str, port: str) -> bool:
    # Neon marks its pooled endpoints in the first label. A path is a socket's.
    marked = not host.startswith("/") and host.partition(".")[0].endswith("-pooler")
    return marked or port == str(_POOLER_PORT)
