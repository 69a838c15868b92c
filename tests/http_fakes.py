"""A supervisor and stores in memory, for tests of the HTTP layer without PostgreSQL, Redis or sockets."""

from __future__ import annotations

import functools
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from falcon.testing import TestClient

from aurora_atlan.actors.errors import UnknownBookingError, UnknownEventError, UnknownJobError
from aurora_atlan.actors.health import ComponentHealth, HealthReport
from aurora_atlan.actors.messages import BookTickets, JobStatus, Receipt
from aurora_atlan.actors.metrics import Metrics
from aurora_atlan.actors.notices import NoticeBoard
from aurora_atlan.actors.queue_stats import Condition, QueueStats
from aurora_atlan.actors.receipts import SignedReceipt, Verdict
from aurora_atlan.config import Settings
from aurora_atlan.http import app as app_module
from aurora_atlan.http.app import create_app
from aurora_atlan.http.passwords import Passwords
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.analytics import SalesFigures
from aurora_atlan.persistence.audit_log import Deed, NotedDeed
from aurora_atlan.persistence.audit_report import AuditReport, EventAudit, Violation
from aurora_atlan.persistence.bookings import HistoryEntry
from aurora_atlan.persistence.dead_letters import DeadLetter
from aurora_atlan.persistence.events import Event, EventEdit, EventFilter, NewEvent, Seats
from aurora_atlan.persistence.jobs import Backlog
from aurora_atlan.persistence.queue_pages import Place, QueuePage
from aurora_atlan.persistence.rate_counters import RateCounters
from aurora_atlan.persistence.records import Booking
from aurora_atlan.persistence.refresh_tokens import NewRefreshToken
from aurora_atlan.persistence.sessions import Successor
from aurora_atlan.persistence.shared_events import Shown
from aurora_atlan.persistence.token_versions import TokenVersions
from aurora_atlan.persistence.users import Credentials, NewUser, RoleRefusal, User
from aurora_atlan.persistence.webhooks import WEBHOOKS_MAX, Standing, Webhook

NOW = datetime(2026, 11, 22, 19, 30, 15, 250_000, tzinfo=UTC)
SECRET = "a secret of at least thirty-two bytes"


class FakeEvents:
    def __init__(self) -> None:
        self.rows: dict[int, Event] = {}
        self.deeds: list[Deed] = []

    def create(self, new: NewEvent, deed: Callable[[Event], Deed] | None = None) -> Event:
        event = Event(
            id=len(self.rows) + 1,
            name=new.name,
            venue=new.venue,
            time=new.time,
            capacity=new.capacity,
            booked=0,
            impressions=0,
            version=1,
            cap_per_user=new.cap_per_user,
            opens_at=new.opens_at,
            closes_at=new.closes_at,
            created_at=NOW,
            updated_at=NOW,
        )
        self.rows[event.id] = event
        if deed is not None:
            self.deeds.append(deed(event))
        return event

    def get(self, event_id: int) -> Event | None:
        return self.rows.get(event_id)

    def edit(self, event_id: int, edit: EventEdit) -> Event:
        before = self.rows[event_id]
        changes = edit.changes_of(before)
        if changes:
            self.rows[event_id] = replace(before, **changes, version=before.version + 1)
        return self.rows[event_id]

    def seats(self, event_id: int) -> Seats | None:
        event = self.rows.get(event_id)
        return None if event is None else Seats(event.capacity, event.booked)

    def page(self, limit: int, after_id: int | None = None, only: EventFilter | None = None) -> list[Event]:
        wanted = (event for event in self.rows.values() if event.id > (after_id or 0) and _passes(event, only))
        return list(itertools.islice(wanted, limit))


def _passes(event: Event, only: EventFilter | None) -> bool:
    if only is None:
        return True
    return (
        (only.text or "").lower() in f"{event.name}\n{event.venue}".lower()
        and (only.from_time is None or event.time >= only.from_time)
        and (only.to_time is None or event.time < only.to_time)
    )


class UnsharedEvents:
    """Events without Redis: what PostgreSQL tells, every time."""

    def __init__(self, events: FakeEvents) -> None:
        self._events = events

    def get(self, event_id: int) -> Shown:
        event = self._events.get(event_id)
        return Shown([] if event is None else [event], 0.0)

    def page(self, limit: int, after_id: int | None, only: EventFilter) -> Shown:
        return Shown(self._events.page(limit, after_id, only), 0.0)

    def forget(self, event_id: int) -> None:
        pass

    def forget_lists(self) -> None:
        pass


class FakeBookings:
    def __init__(self) -> None:
        self.entries: list[HistoryEntry] = []

    def history(self, user_id: int, limit: int, before_id: int | None = None) -> list[HistoryEntry]:
        mine = [entry for entry in self.entries if entry.booking.user_id == user_id]
        mine.sort(key=lambda entry: -entry.booking.id)
        return [entry for entry in mine if before_id is None or entry.booking.id < before_id][:limit]


class FakeImpressions:
    def __init__(self) -> None:
        self.views: Counter[int] = Counter()

    def count(self, event_id: int) -> int:
        self.views[event_id] += 1
        return self.views[event_id]

    def pending(self, event_id: int) -> int:
        return self.views[event_id]


class FakeUsers:
    def __init__(self) -> None:
        self.rows: dict[str, Credentials] = {}
        self.refresh_tokens: list[tuple[int, NewRefreshToken]] = []
        # Those that cannot be used any more.
        self.spent: set[bytes] = set()
        self.deeds: list[Deed] = []

    def create(self, user: NewUser, refresh_token: NewRefreshToken | None = None) -> User | None:
        if user.email in self.rows:
            return None
        created = User(len(self.rows) + 1, user.name, user.email, user.role, 1, NOW)
        self.rows[user.email] = Credentials(created, user.password_hash)
        if refresh_token is not None:
            self.refresh_tokens.append((created.id, refresh_token))
        return created

    def by_id(self, user_id: int) -> User | None:
        return next((known.user for known in self.rows.values() if known.user.id == user_id), None)

    def credentials(self, email: str) -> Credentials | None:
        return self.rows.get(email)

    def replace_password_hash(self, user_id: int, old_hash: str, new_hash: str) -> None:
        for email, credentials in self.rows.items():
            if credentials.user.id == user_id and credentials.password_hash == old_hash:
                self.rows[email] = replace(credentials, password_hash=new_hash)

    def change_role(
        self, user_id: int, role: str, deed: Callable[[User, User], Deed] | None = None
    ) -> User | RoleRefusal:
        before = self.by_id(user_id)
        if before is None:
            return RoleRefusal.UNKNOWN_USER
        if before.role == role:
            return before
        if [known.user for known in self.rows.values() if known.user.role == "ADMIN"] == [before]:
            return RoleRefusal.LAST_ADMIN
        after = self.void(user_id, role=role)
        if deed is not None:
            self.deeds.append(deed(before, after))
        return after

    def void(self, user_id: int, password_hash: str | None = None, **changes: Any) -> User:
        """Raise a user's token version, and change more of him."""
        [(email, known)] = [(email, known) for email, known in self.rows.items() if known.user.id == user_id]
        user = replace(known.user, token_version=known.user.token_version + 1, **changes)
        self.rows[email] = Credentials(user, password_hash or known.password_hash)
        return user


class FakeSessions:
    """Logins of fake users."""

    def __init__(self, users: FakeUsers) -> None:
        self._users = users

    def begin(self, verified: Credentials, token: NewRefreshToken) -> User | None:
        if self._is_changed(verified):
            return None
        self._users.refresh_tokens.append((verified.user.id, token))
        return self._users.by_id(verified.user.id)

    def rotate(self, token_hash: bytes, successor: Successor) -> User | None:
        for user_id, token in self._users.refresh_tokens:
            if token.token_hash == token_hash and token_hash not in self._users.spent:
                self._users.spent.add(token_hash)
                record = NewRefreshToken(successor.token_hash, token.family, successor.expires_at)
                self._users.refresh_tokens.append((user_id, record))
                return self._users.by_id(user_id)
        return None

    def end_all(self, user_id: int) -> int | None:
        self._users.spent |= {token.token_hash for owner, token in self._users.refresh_tokens if owner == user_id}
        return None if self._users.by_id(user_id) is None else self._users.void(user_id).token_version

    def change_password(self, verified: Credentials, password_hash: str, token: NewRefreshToken) -> User | None:
        if self._is_changed(verified):
            return None
        self.end_all(verified.user.id)
        self._users.refresh_tokens.append((verified.user.id, token))
        return self._users.void(verified.user.id, password_hash)

    def _is_changed(self, verified: Credentials) -> bool:
        known = self._users.rows[verified.user.email]
        same = (known.user.token_version, known.password_hash)
        return verified.user.token_version != same[0] and verified.password_hash != same[1]


class FakeAuditLog:
    def __init__(self) -> None:
        self.entries: list[NotedDeed] = []
        # Those that were added by themselves.
        self.deeds: list[Deed] = []
        self.failure: Exception | None = None

    def page(self, limit: int, before_id: int | None = None) -> list[NotedDeed]:
        newest = sorted(self.entries, key=lambda entry: -entry.id)
        return [entry for entry in newest if before_id is None or entry.id < before_id][:limit]

    def add(self, deed: Deed) -> None:
        if self.failure is not None:
            raise self.failure
        self.deeds.append(deed)


class FakeWebhooks:
    """Keeps webhooks; those that it was asked to test are in ``tested``."""

    def __init__(self) -> None:
        self.rows: dict[int, Webhook] = {}
        self.secrets: dict[int, bytes] = {}
        self.standings: dict[int, Standing] = {}
        self.tested: list[int] = []
        self.deeds: list[Deed] = []

    def create(self, url: str, types: Sequence[str], secret: bytes, deed: Callable[[Webhook], Deed]) -> Webhook | None:
        if len(self.rows) == WEBHOOKS_MAX:
            return None
        webhook = Webhook(
            id=len(self.rows) + 1,
            url=url,
            types=types,
            enabled=True,
            created_at=NOW,
            last_success_at=None,
            last_error=None,
            last_error_at=None,
        )
        self.rows[webhook.id] = webhook
        self.secrets[webhook.id] = secret
        self.deeds.append(deed(webhook))
        return webhook

    def all(self) -> list[Webhook]:
        return list(self.rows.values())

    def standing(self, webhook_id: int) -> Standing | None:
        webhook = self.rows.get(webhook_id)
        return None if webhook is None else self.standings.get(webhook_id, Standing(webhook, 0, 0, []))

    def set_enabled(self, webhook_id: int, deed: Deed, *, enabled: bool) -> Webhook | None:
        if self._is_unknown(webhook_id, deed):
            return None
        self.rows[webhook_id] = replace(self.rows[webhook_id], enabled=enabled)
        return self.rows[webhook_id]

    def rotate(self, webhook_id: int, secret: bytes, deed: Deed) -> datetime | None:
        if self._is_unknown(webhook_id, deed):
            return None
        self.secrets[webhook_id] = secret
        return NOW

    def queue_test(self, webhook_id: int, deed: Deed) -> bool:
        if self._is_unknown(webhook_id, deed):
            return False
        self.tested.append(webhook_id)
        return True

    def delete(self, webhook_id: int, deed: Deed) -> bool:
        return not self._is_unknown(webhook_id, deed) and self.rows.pop(webhook_id) is not None

    def _is_unknown(self, webhook_id: int, deed: Deed) -> bool:
        if webhook_id not in self.rows:
            return True
        self.deeds.append(deed)
        return False


class FakeAuditor:
    """Audits one event, 7 unless told otherwise, and holds the answer back while it may not end."""

    def __init__(self) -> None:
        self.known = 7
        self.asked: list[int | None] = []
        self.violations: tuple[Violation, ...] = ()
        self.failure: Exception | None = None
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def run(self, event_id: int | None = None) -> AuditReport:
        self.asked.append(event_id)
        self.begun.set()
        assert self.may_end.wait(10)
        if self.failure is not None:
            raise self.failure
        event = EventAudit(
            event_id=self.known,
            name="Concert",
            capacity=100,
            sold=3,
            seats_booked=3,
            bookings_confirmed=2,
            bookings_cancelled=1,
            entries=5,
            kinds={"opened": 1, "confirmed": 3, "cancelled": 1},
            violations_found=len(self.violations),
            violations=self.violations,
        )
        return AuditReport(at=NOW, duration_s=0.123456, events=(event,) if event_id == self.known else ())


class FakeAnalytics:
    """Tells the figures it was given."""

    def __init__(self) -> None:
        self.told = SalesFigures(0, 0, 0, [])
        self.asked: list[int] = []

    def figures(self, popular_max: int) -> SalesFigures:
        self.asked.append(popular_max)
        return self.told


class FakeQueueDesk:
    """Answers what the test lines up, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.found = QueuePage((), None)
        self.removed = 0
        self.failure: Exception | None = None

    def page(self, limit: int, after: Place | None = None, only_event: int | None = None) -> QueuePage:
        if self.failure is not None:
            raise self.failure
        self.asked.append((limit, after, only_event))
        return self.found

    def clean(self, statuses: list[str], older_than_s: float, removed_max: int) -> int:
        if self.failure is not None:
            raise self.failure
        self.asked.append((statuses, older_than_s, removed_max))
        return self.removed


class FakeDeadLetters:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.failure: Exception | None = None

    def page(self, limit: int, before: tuple[datetime, int, int] | None = None) -> list[DeadLetter]:
        def key(letter: DeadLetter) -> tuple[datetime, int, int]:
            return letter.failed_at, letter.event_id, letter.entry_number

        older = [letter for letter in self.letters if before is None or key(letter) < before]
        return sorted(older, key=key, reverse=True)[:limit]

    def attempt_again(self, job_id: UUID, request_id: str | None = None) -> BookTickets:
        if self.failure is not None:
            raise self.failure
        letter = next((letter for letter in self.letters if letter.job_id == job_id), None)
        if letter is None:
            raise UnknownJobError("no such job")
        return BookTickets(letter.event_id, letter.user_id, letter.quantity, request_id=request_id)


class FakeSupervisor:
    """Accepts everything for events that exist; ``failure`` is raised instead when it is set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = None
        self.events = FakeEvents()
        self.shared_events = UnsharedEvents(self.events)
        self.bookings = FakeBookings()
        self.impressions = FakeImpressions()
        self.users = FakeUsers()
        self.audit_log = FakeAuditLog()
        self.webhooks = FakeWebhooks()
        self.token_versions = TokenVersions()
        # Whose bookings and jobs these are; others are everybody's.
        self.owners: dict[int | UUID, int] = {}
        self.deeds: list[Deed | None] = []
        self.attempts: list[BookTickets] = []
        self.statuses: dict[UUID, JobStatus] = {}
        self.failure: BaseException | None = None
        # What was called, with what.
        self.asked: list[tuple[object, ...]] = []
        self.replayed = False
        # Given at once to everybody who books.
        self.answer: JobStatus | None = None
        self.ready = True
        self.metrics = Metrics()
        self.rate_counters = RateCounters(None, lambda: False)
        # None: Redis is out of reach.
        self.waiting: Backlog | None = Backlog(0, 0, None)
        # By event; None: Redis is out of reach.
        self.waiting_for: dict[int, int | None] = {}
        # What was to be noted in the audit log.
        self.deeds: list[Deed] = []
        self.notices = NoticeBoard()
        self.queue = FakeQueueDesk()
        self.dead_letters = FakeDeadLetters()
        self.report = QueueStats(
            waiting=5,
            active=2,
            completed=30,
            failed=4,
            condition=Condition.HEALTHY,
            stalled_jobs=0,
            quarantined_events=0,
            paused=False,
            oldest_waiting_s=1.23456,
        )
        self.verdict = Verdict(None, None)
        self.shown: list[SignedReceipt] = []

    def submit(self, attempt: BookTickets) -> Receipt:
        if self.failure is not None:
            raise self.failure
        if attempt.event_id not in self.events.rows:
            raise UnknownEventError("no such event")
        self.attempts.append(attempt)
        return Receipt(
            job_id=uuid4() if self.answer is None else self.answer.job_id,
            event_id=attempt.event_id,
            quantity=attempt.quantity,
            queue_number=len(self.attempts),
            queue_position=len(self.attempts),
            estimated_wait_s=0.25,
            estimated_wait_p90_s=0.65,
            accepted_at=NOW,
            replayed=self.replayed,
            durability="always",
            answer=self.answer,
            signature="the-signature",
        )

    def retry(self, job_id: UUID, request_id: str | None = None) -> Receipt:
        return self.submit(self.dead_letters.attempt_again(job_id, request_id))

    def stats(self) -> QueueStats:
        if self.failure is not None:
            raise self.failure
        return self.report

    def verify_receipt(self, receipt: SignedReceipt) -> Verdict:
        if self.failure is not None:
            raise self.failure
        self.shown.append(receipt)
        return self.verdict

    def cancel(self, booking_id: int, user_id: int | None = None) -> Booking:
        if self.failure is not None:
            raise self.failure
        if user_id not in (None, self.owners.get(booking_id, user_id)):
            raise UnknownBookingError("no such booking")
        self.asked.append(("cancel", booking_id, user_id))
        return Booking(booking_id, uuid4(), 1, 7, 2, "cancelled", NOW, NOW)

    def withdraw(self, job_id: UUID, user_id: int | None = None) -> None:
        if self.failure is not None:
            raise self.failure
        if user_id not in (None, self.owners.get(job_id, user_id)):
            raise UnknownJobError("no such job")
        self.asked.append(("withdraw", job_id, user_id))

    def edit_event(
        self,
        event_id: int,
        edit: EventEdit,
        *,
        versions: Collection[int] | None = None,
        describe: Callable[[Event, Event], Deed] | None = None,
    ) -> Event:
        self.asked.append(("edit", event_id, edit, versions))
        if self.failure is not None:
            raise self.failure
        before = self.events.rows.get(event_id)
        if before is None:
            raise UnknownEventError("no such event")
        after = self.events.edit(event_id, edit)
        if describe is not None and after is not before:
            self.deeds.append(describe(before, after))
        return after

    def delete_event(self, event_id: int, *, force: bool = False, deed: Deed | None = None) -> int:
        self.asked.append(("delete", event_id, force))
        if self.failure is not None:
            raise self.failure
        if self.events.rows.pop(event_id, None) is None:
            raise UnknownEventError("no such event")
        if deed is not None:
            self.deeds.append(deed)
        return 0

    def pause(self, event_id: int | None = None, *, deed: Deed | None = None) -> None:
        if self.failure is not None:
            raise self.failure
        self.asked.append(("pause", event_id))
        self.deeds.append(deed)

    def resume(self, event_id: int | None = None, *, deed: Deed | None = None) -> None:
        self.asked.append(("resume", event_id))
        self.deeds.append(deed)

    def status(self, job_id: UUID) -> JobStatus | None:
        if self.failure is not None:
            raise self.failure
        return self.statuses.get(job_id)

    def health(self) -> HealthReport:
        detail = "answers" if self.ready else "refuses connections"
        redis = ComponentHealth(self.ready, detail, {"rollbacks": 1, "lostAtMost": 5})
        actors = ComponentHealth(True, "running", {"alive": 3, "waiting": 2, "quarantined": 1, "restarts": 4})
        return HealthReport(self.ready, {"redis": redis, "actors": actors})

    def queued(self, event_id: int) -> int | None:
        return self.waiting_for.get(event_id, 0)

    def backlog(self) -> Backlog | None:
        return self.waiting


@dataclass
class Service:
    """The API over fakes, and what a test needs to talk to it."""

    supervisor: FakeSupervisor
    client: TestClient
    issuer: TokenIssuer

    def bearer(self, user_id: int = 7, role: str = "USER") -> dict[str, str]:
        """Return the headers of a logged-in user."""
        return {"Authorization": f"Bearer {self.issuer.issue(user_id, role, 1)}"}

    def event(self, **changes: Any) -> Event:
        """Make an event."""
        wanted = {"name": "Concert", "venue": "Hall", "time": NOW, "capacity": 100, **changes}
        return self.supervisor.events.create(NewEvent(**wanted))


@functools.cache
def _passwords() -> Passwords:
    # Hashing is slow on purpose, and each of these begins with one.
    return Passwords(waiting_max=16)


def make_service(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Service:
    """Build the API over a new fake supervisor."""
    supervisor = FakeSupervisor(Settings(**{"jwt_secret": SECRET, "rate_limits": "off", **settings}))
    monkeypatch.setattr(app_module, "UserStore", lambda _database: supervisor.users)
    monkeypatch.setattr(app_module, "SessionStore", lambda _database: FakeSessions(supervisor.users))
    monkeypatch.setattr(app_module, "AuditLog", lambda _database: supervisor.audit_log)
    monkeypatch.setattr(app_module, "WebhookStore", lambda _database: supervisor.webhooks)
    monkeypatch.setattr(app_module, "Passwords", lambda waiting_max: _passwords())
    app = create_app(supervisor)  # type: ignore[arg-type]
    return Service(supervisor, TestClient(app), TokenIssuer(supervisor.settings))
