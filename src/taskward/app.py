"""Puts the parts together.

`create_app()` makes the app for `taskward serve` and for apps that mount it. Other servers call that of `asgi.py`,
which tells them in a sentence what is wrong. An app that mounts Taskward enters `lifespan` in its own, because a
mounted app's lifespan does not run by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from taskward import __version__
from taskward.account.slice import account
from taskward.http import docs, openapi_document, problems
from taskward.http.cors import Cors
from taskward.http.failures import AccessLog, Failures
from taskward.http.framework import AsyncExitStackMiddleware, put_state
from taskward.http.health import router as health_router
from taskward.http.middleware import RequestContext, RootPath
from taskward.http.routing import RouteIndex
from taskward.http.sending import Sending
from taskward.http.services import Services, services_of
from taskward.http.spooling import Spools
from taskward.identity import ClaimRules, Verifier, load_keys, parse_conditions
from taskward.kit import suggestions
from taskward.kit.limits import Limits
from taskward.lists.slice import SLICE as LISTS
from taskward.runtime.fairness import LongWork
from taskward.runtime.log import get_logger
from taskward.runtime.timeouts import Timeouts
from taskward.runtime.unsent import Unsent
from taskward.settings import Settings, SettingsError, load_settings
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.tags.slice import SLICE as TAGS
from taskward.tasks.slice import SLICE as TASKS
from taskward.tasks.trash import Purges
from taskward.transfer.foreign import UNPACKED
from taskward.transfer.slice import transfer

KEPT = (TASKS, LISTS, TAGS)
"""What users have here."""
SLICES = (*KEPT, account(KEPT), transfer(KEPT))
"""All that the API is about, in the order of its documentation."""

_log = get_logger("taskward")

_PATIENCE = 10
"""Seconds that a request waits for earlier answers to be taken."""

_DESCRIPTION = "A private task list for each user of your app. Every request needs a bearer token of your issuer."
# FastAPI's own spans and logs would record request bodies and exception messages.
_NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}


class _Service(FastAPI):
    """FastAPI with `ErrorBoundary` in place of its layers for errors and `RouteIndex` before its search for a route."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.middleware_stack is None or self.root_path:
            await super().__call__(scope, receive, send)
            return
        # FastAPI's would ask each time whether its telemetry is on, which it is not.
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = AsyncExitStackMiddleware(self.router)  # routes that an embedding app adds may need it
        app = RouteIndex(app, self.routes)
        app = problems.ErrorBoundary(app, self.exception_handlers, services_of(self).failures)
        for middleware in reversed(self.user_middleware):
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)
        return app


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; nothing is connected to until its lifespan is entered.

    Args:
        settings: The configuration; read from the environment and `.env` by default.

    Raises:
        SettingsError: A setting is wrong or missing; without `taskward serve`, `DATABASE_URL` is needed.
        AddressError: `DATABASE_URL` cannot be read.
        KeyConfigurationError: There is no key that tokens could be verified with.
    """
    settings = settings or load_settings()
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL must be set; only `taskward serve` brings a database of its own.")
    address = parse_address(settings.database_url.get_secret_value(), pooled=settings.pooled)
    app = _Service(
        title="Taskward",
        version=__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,  # type: ignore[arg-type]
    )
    database = Database(address, pool_size=settings.pool_size)
    limits = Limits(settings.limits)
    shared = Services(
        timeouts=Timeouts(settings.request_timeout),
        long_work=LongWork(),
        spools=Spools(settings.max_import_bytes),
        # An archive may have several times as much to be read.
        spools_of_records=Spools(settings.max_import_bytes, of_one=2 * UNPACKED),
        database=database,
        limits=limits,
        after_writes=(Purges(database, limits, settings.trash_days),),
        unsent=Unsent(settings.unsent_per_user, settings.unsent_per_worker, _PATIENCE),
        verifier=make_verifier(settings),
        scopes_enforced=settings.scopes == "enforced",
        failures=Failures(),
    )
    put_state(app, shared)
    if accepts_any_audience(settings):
        _log.warning("TASKWARD_AUDIENCE is not set: tokens that the issuer made for other services are accepted, too")
    _add_middleware(app, settings)
    # The routers are complete as they stand; `include_router` would only match each request's path twice.
    for router in (*(one.router for one in SLICES), health_router):
        app.router.routes.extend(router.routes)
    docs.install(app)
    problems.install(app)
    openapi_document.install(app, SLICES)
    suggestions.install(one.other_names for one in SLICES)
    return app


def make_verifier(settings: Settings) -> Verifier:
    """What tells good tokens from bad ones; no key is fetched before it is maintained or loaded.

    Raises:
        KeyConfigurationError: There is no key, or it cannot be used.
    """
    keys = load_keys(
        secrets=settings.secrets,
        public_key=settings.used_public_key,
        jwks_url=settings.used_jwks_url,
        issuer=settings.issuer,
        algorithms=settings.algorithms,
        plain_http_hosts=settings.plain_http_hosts,
    )
    rules = ClaimRules(
        issuer=settings.issuer,
        audience=settings.audience,
        required=parse_conditions(settings.required_claims),
        rejected=parse_conditions(settings.reject_claims),
        user_claim=settings.user_claim,
        user_claim_type=settings.user_claim_type,
        leeway=settings.leeway,
    )
    return Verifier(keys, rules)


def accepts_any_audience(settings: Settings) -> bool:
    """Tell whether tokens that the issuer made for other services are accepted (RFC 8725, section 3.9)."""
    return not settings.audience and not settings.has_only_secrets


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect, check schema and role, serve; at the end let running requests finish and disconnect."""
    shared = services_of(app)
    async with shared.verifier.keys.maintained():
        await shared.database.open()
        _log.info("ready")
        try:
            yield
        finally:
            _log.info("finishing")
            for one in shared.after_writes:
                await one.close()
            await shared.database.close()
            shared.failures.flush()
            _log.info("finished")


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    # The last one added is the outermost.
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    if settings.access_log:
        app.add_middleware(AccessLog)
    app.add_middleware(RequestContext)
    app.add_middleware(Sending, timeout=2 * settings.send_timeout)
    if settings.root_path:
        app.add_middleware(RootPath, prefix=settings.root_path)
