"""The route tables: which address is answered by which resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aurora_atlan.http.admin_audit import AuditEntries
from aurora_atlan.http.admin_users import AnyUser, UserRole
from aurora_atlan.http.analytics import AnalyticsReport
from aurora_atlan.http.application import Application
from aurora_atlan.http.auth import Login, Register
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.availability import Availability
from aurora_atlan.http.bookings import Book, Cancel, History, Status, Withdraw
from aurora_atlan.http.cross_origin import CrossOrigin
from aurora_atlan.http.dead_letters import Failed, Retry
from aurora_atlan.http.docs_pages import Description, DocsFile, DocsPage
from aurora_atlan.http.event_audits import EventAudit
from aurora_atlan.http.event_changes import ChangeEvent, DeleteEvent
from aurora_atlan.http.event_reads import EventReads
from aurora_atlan.http.events import Event, Events, NewEvents
from aurora_atlan.http.health import Live, Ready, Startup
from aurora_atlan.http.long_polls import LongPolls
from aurora_atlan.http.metrics import MetricsPage, RequestMetrics
from aurora_atlan.http.password_change import ChangePassword
from aurora_atlan.http.passwords import Passwords
from aurora_atlan.http.queue import Pause, Resume
from aurora_atlan.http.queue_cleaning import Clean
from aurora_atlan.http.queue_views import Details, Stats
from aurora_atlan.http.rate_limits import RateLimits
from aurora_atlan.http.receipts import VerifyReceipt
from aurora_atlan.http.refresh_tokens import RefreshTokens
from aurora_atlan.http.sessions import Logout, Refresh
from aurora_atlan.http.tokens import TokenIssuer, TokenVerifier, signing_key
from aurora_atlan.http.webhooks import AnyWebhook, WebhookRotation, Webhooks, WebhookTest
from aurora_atlan.persistence.analytics import Analytics
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.audit_log import AuditLog
from aurora_atlan.persistence.sessions import SessionStore
from aurora_atlan.persistence.users import UserStore
from aurora_atlan.persistence.webhooks import WebhookStore

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor


def _never() -> bool:
    return False


def create_app(
    supervisor: Supervisor, draining: Callable[[], bool] = _never, requests: RequestMetrics | None = None
) -> Application:
    """Return the API as a WSGI application; ``draining`` tells whether its server is about to stop.

    Its requests are counted in ``requests``, if given.

    Raises :class:`ConfigurationError` when JWT_SECRET is missing or too short.
    """
    settings = supervisor.settings
    events, bookings, impressions = supervisor.events, supervisor.bookings, supervisor.impressions
    users, sessions = UserStore(supervisor.database), SessionStore(supervisor.database)
    versions = supervisor.token_versions
    issuer = TokenIssuer(settings)
    authenticator = Authenticator(TokenVerifier(signing_key(settings), least_versions=versions.least))
    refresh_tokens = RefreshTokens(settings)
    # Half of the threads at most, so that a rush of logins never keeps bookings from being accepted.
    passwords = Passwords(waiting_max=max(1, settings.threads // 2))

    # Not longer than the one who asks for it, who waits for a connection and then for PostgreSQL.
    reads = EventReads(
        events, supervisor.shared_events, impressions, wait_max_s=settings.pool_timeout_s + settings.watchdog_s
    )

    limits = RateLimits(settings, supervisor.rate_counters)
    long_polls = LongPolls(supervisor, draining, places=max(1, settings.threads // 4))
    audit_log = AuditLog(supervisor.database)

    # In the way of requests only if it is wanted.
    cross_origin = (CrossOrigin(settings.cors_origins),) if settings.cors_origins else ()
    app = Application(*cross_origin) if requests is None else Application(requests, *cross_origin)
    app.add_route("/api/auth/register", Register(users, passwords, issuer, refresh_tokens, limits))
    app.add_route("/api/auth/login", Login(users, sessions, passwords, issuer, refresh_tokens, limits))
    app.add_route("/api/auth/refresh", Refresh(sessions, issuer, refresh_tokens, limits))
    app.add_route("/api/auth/logout", Logout(sessions, versions, authenticator))
    app.add_route(
        "/api/auth/password",
        ChangePassword(users, sessions, passwords, issuer, refresh_tokens, limits, versions, authenticator),
    )
    app.add_route("/api/events/view", Events(reads, limits))
    app.add_route("/api/events/create", NewEvents(events, reads, authenticator))
    app.add_route("/api/events/{event_id}/view", Event(reads, limits))
    app.add_route("/api/events/{event_id}/update", ChangeEvent(supervisor, reads, authenticator))
    app.add_route("/api/events/{event_id}/delete", DeleteEvent(supervisor, reads, authenticator))
    app.add_route("/api/events/{event_id}/availability", Availability(supervisor, reads, limits))
    app.add_route("/api/events/{event_id}/audit", EventAudit(Auditor(supervisor.database), authenticator))
    app.add_route("/api/bookings/{event_id}/book", Book(supervisor, authenticator, limits))
    app.add_route("/api/bookings/status/{job_id}", Status(supervisor, authenticator, long_polls))
    app.add_route("/api/bookings/jobs/{job_id}", Withdraw(supervisor, authenticator))
    app.add_route("/api/bookings/{event_id}/cancel", Cancel(supervisor, authenticator))
    app.add_route("/api/bookings/history", History(bookings, impressions, authenticator))
    app.add_route("/api/admin/analytics", AnalyticsReport(Analytics(supervisor.database), impressions, authenticator))
    app.add_route("/api/bookings/receipts/verify", VerifyReceipt(supervisor))
    app.add_route("/api/admin/queue/stats", Stats(supervisor, authenticator))
    app.add_route("/api/admin/queue/details", Details(supervisor, authenticator))
    app.add_route("/api/admin/queue/clean", Clean(supervisor, authenticator, audit_log))
    app.add_route("/api/admin/queue/failed", Failed(supervisor, authenticator))
    app.add_route("/api/admin/queue/retry/{job_id}", Retry(supervisor, authenticator, audit_log))
    app.add_route("/api/admin/queue/pause", Pause(supervisor, authenticator))
    app.add_route("/api/admin/queue/resume", Resume(supervisor, authenticator))
    app.add_route("/api/admin/users/{user_id}", AnyUser(users, authenticator))
    app.add_route("/api/admin/users/{user_id}/role", UserRole(users, versions, authenticator))
    app.add_route("/api/admin/audit", AuditEntries(audit_log, authenticator))
    _add_webhooks(app, WebhookStore(supervisor.database), authenticator, private=settings.webhook_private_addresses)
    app.add_route("/livez", Live())
    app.add_route("/readyz", Ready(supervisor, draining))
    if settings.docs:
        _add_docs(app)
    return app


def _add_docs(app: Application) -> None:
    app.add_route("/openapi.json", Description())
    app.add_route("/docs", DocsPage())
    app.add_route("/docs/{file}", DocsFile())


def _add_webhooks(app: Application, webhooks: WebhookStore, authenticator: Authenticator, *, private: bool) -> None:
    app.add_route("/api/admin/webhooks", Webhooks(webhooks, authenticator, private=private))
    app.add_route("/api/admin/webhooks/{webhook_id}", AnyWebhook(webhooks, authenticator))
    app.add_route("/api/admin/webhooks/{webhook_id}/test", WebhookTest(webhooks, authenticator))
    app.add_route("/api/admin/webhooks/{webhook_id}/rotate-secret", WebhookRotation(webhooks, authenticator))


def create_ops_app(
    supervisor: Supervisor, draining: Callable[[], bool] = _never, requests: RequestMetrics | None = None
) -> Application:
    """Return the operators' endpoints, for a listener of their own, as a WSGI application.

    With ``requests``, those of the API that :func:`create_app` counts, there is ``/metrics``, too.
    """
    app = Application()
    app.add_route("/livez", Live())
    app.add_route("/readyz", Ready(supervisor, draining))
    app.add_route("/startupz", Startup(supervisor))
    if requests is not None:
        app.add_route("/metrics", MetricsPage(supervisor, requests))
    return app
