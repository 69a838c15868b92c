"""The supervisor: what a program starts, asks and stops.

Here everything is put together, and here is all that a host may call; what looks after the actors is
:mod:`aurora_atlan.actors.watch`.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from aurora_atlan.actors.acceptance import Acceptance
from aurora_atlan.actors.async_callers import AsyncCallers
from aurora_atlan.actors.cell import RestartPolicy
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.commit import Committing
from aurora_atlan.actors.crew import Crew
from aurora_atlan.actors.dead_letters import DeadLetters
from aurora_atlan.actors.deletion import Deletion
from aurora_atlan.actors.direct import DirectBooking
from aurora_atlan.actors.editing import CapacityChanged, Describe, Editing
from aurora_atlan.actors.errors import AddressTakenError, UnavailableError, UnknownEventError
from aurora_atlan.actors.faults import Faults
from aurora_atlan.actors.gate import Gate
from aurora_atlan.actors.health import HealthReport, actors_health, postgres_health, redis_health
from aurora_atlan.actors.hooks import Hooks, RestartNotice
from aurora_atlan.actors.liaison import Liaison
from aurora_atlan.actors.losses import LossWatch
from aurora_atlan.actors.messages import BookTickets, JobStatus, Receipt, Rescan
from aurora_atlan.actors.metrics import Metrics, NoMetrics
from aurora_atlan.actors.notices import NoticeBoard
from aurora_atlan.actors.outcome_waits import OutcomeWaits
from aurora_atlan.actors.queue_desk import QueueDesk
from aurora_atlan.actors.queue_stats import QueueStats, queue_stats
from aurora_atlan.actors.receipts import ReceiptDesk, SignedReceipt, Verdict
from aurora_atlan.actors.relay import OutboxRelay
from aurora_atlan.actors.scheduler import Scheduler
from aurora_atlan.actors.seeding import Seeding
from aurora_atlan.actors.status import StatusDesk
from aurora_atlan.actors.supervised import tell
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.actors.watch import Watch
from aurora_atlan.actors.webhook_sender import WebhookSender
from aurora_atlan.config import Settings
from aurora_atlan.persistence.accounts import canonical_email, normalise_name, normalise_password
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.audit_report import AuditReport
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database, Pool
from aurora_atlan.persistence.dead_letters import DeadLetterStore
from aurora_atlan.persistence.durability import Durability
from aurora_atlan.persistence.errors import FORKED, ForkedError, SchemaError, StoreError, TransientError
from aurora_atlan.persistence.events import Event, EventEdit, EventStore, NewEvent
from aurora_atlan.persistence.finished_jobs import FinishedJobs
from aurora_atlan.persistence.impressions import ImpressionCounter
from aurora_atlan.persistence.jobs import Backlog, JobStore
from aurora_atlan.persistence.outbox import OutcomeNotice
from aurora_atlan.persistence.ownership import OwnerLock, new_owner
from aurora_atlan.persistence.password_hashes import hash_password
from aurora_atlan.persistence.queue_pages import QueuePages
from aurora_atlan.persistence.rate_counters import RateCounters
from aurora_atlan.persistence.records import Booking
from aurora_atlan.persistence.redis_clients import Client, accepting_client, cache_client, patient_client
from aurora_atlan.persistence.shared_events import SharedEvents
from aurora_atlan.persistence.token_versions import TokenVersions
from aurora_atlan.persistence.users import ROLES, NewUser, User, UserStore

log = logging.getLogger(__name__)

T = TypeVar("T")

_STOP_TIMEOUT_S = 20.0
# When the start fails half way, and when the host forgot to stop us.
_SHORT_STOP_S = 5.0
_RELAY_AT_STOP_S = 2.0
_HOOKS_AT_STOP_S = 1.0
_WEBHOOKS_AT_STOP_S = 2.0
_LAST_MOMENT_S = 0.1
# Of each of the 64 shards.
_BACKLOG_EVENTS_MAX = 1_000


class Supervisor:
    """Sells tickets over one PostgreSQL and one Redis, through one actor per event.

    For example:

        with Supervisor(Settings(database_url=..., redis_url=...)) as supervisor:
            event = supervisor.create_event(NewEvent("Concert", "Hall", time, capacity=100))
            buyer = supervisor.create_user("Ann", "ann@example.org")
            receipt = supervisor.submit(BookTickets(event.id, buyer.id))
            print(supervisor.wait(receipt, timeout=5).status)

    It is started and stopped once, by hand or as a context manager. Every method may be called by any thread.
    It touches nothing of its host: no signal handler, no logging handler, no environment variable, none of the host's
    actors; it has no thread before :meth:`start` and none after :meth:`stop`.

    Outcomes of bookings are values. Errors are :class:`BookingError` and its children, whose message is a sentence
    for people; :class:`UnavailableError` means: try again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_outcome: Callable[[OutcomeNotice], None] | None = None,
        on_restart: Callable[[RestartNotice], None] | None = None,
        on_health_change: Callable[[HealthReport], None] | None = None,
        pool: Pool | None = None,
        redis_client: Client | None = None,
    ) -> None:
        """Make a supervisor; nothing is connected or started yet.

        The hooks are called in threads of the supervisor's, outside all locks. ``on_outcome`` is told every outcome
        at least once, in the order of its event's ledger, and again when it raises; with several processes over one
        database, in one of them. ``on_restart`` and ``on_health_change`` are told at most once. A hook that raises or
        hangs harms no booking; while ``on_outcome`` hangs, no other outcome is told, nor any webhook.

        ``pool`` and ``redis_client`` are the host's own, instead of ``database_url`` and ``redis_url``, and never
        closed. Transactions use the pool, whose ``connection_class`` is :class:`WatchedConnection`; the database is
        migrated by ``aurora-atlan migrate`` beforehand. Of the client the address and the credentials are used, over
        connections with time limits of the supervisor's own.

        Raises :class:`ConfigurationError` when a URL is missing, or one of these cannot be used.
        """
        self.settings = settings
        self.database = Database(settings, pool)
        self.events = EventStore(self.database)
        self.impressions = ImpressionCounter(self.database)
        self.token_versions = TokenVersions()
        self._owner = new_owner()
        self.bookings = BookingStore(self.database, self._owner)
        fast = accepting_client(settings, redis_client)
        self._fast_jobs = _job_store(settings, fast)
        self._jobs = _job_store(settings, patient_client(settings, redis_client))
        self._scheduler = Scheduler(time.monotonic)
        faults = Faults(settings.fault_points)
        self.metrics = Metrics() if settings.metrics else NoMetrics()
        self._switchboard = Switchboard(self._scheduler, faults, self.metrics)
        self.shared_events = SharedEvents(self.events, cache_client(settings, redis_client))
        counting = accepting_client(settings, redis_client)
        self.rate_counters = RateCounters(counting, lambda: self._switchboard.redis.is_open)
        policy = RestartPolicy(
            crashes_max=settings.restarts_max,
            window_s=settings.restart_window_s,
            backoff_min_s=settings.backoff_min_s,
            backoff_max_s=settings.backoff_max_s,
            quarantine_s=settings.quarantine_s,
            chance=random.random,
        )
        self._cells = Cells(policy, self._scheduler.wake.set)
        job_age_max = None if settings.job_max_age_s is None else timedelta(seconds=settings.job_max_age_s)
        self._committing = Committing(self.bookings, self._owner, settings.lease_s, job_age_max, faults)
        self._losses = LossWatch(self._cells, self._fast_jobs)
        self._acceptance = Acceptance(
            self._switchboard,
            self._cells,
            Seeding(self._switchboard, self._cells, self._fast_jobs, self.bookings, self._losses),
            self.bookings,
            timeout_s=settings.accept_timeout_s,
            required=Durability(settings.required_durability),
            direct=DirectBooking(self.bookings) if settings.degraded_booking else None,
        )
        self._desk = StatusDesk(self._switchboard, self._fast_jobs, self.bookings, settings.accept_timeout_s)
        self._gate = Gate(self.bookings, self._jobs)
        self._editing = Editing(self.bookings)
        self._deletion = Deletion(self.bookings, self.queued, self._close_queue)
        self.dead_letters = DeadLetters(DeadLetterStore(self.database), self.bookings, self._desk)
        self.queue = QueueDesk(self._switchboard, QueuePages(fast), FinishedJobs(fast, settings.job_ttl_s))
        self._receipt_desk = ReceiptDesk(self.bookings, self._desk)
        self._relay = OutboxRelay(self.database, on_outcome, faults)
        self._webhooks = WebhookSender(self.database, self.metrics, private=settings.webhook_private_addresses)
        self._hooks = Hooks(on_restart, on_health_change)
        self._waits = OutcomeWaits(self._desk.status, self.notices, lambda: not self._accepting)
        self._callers = AsyncCallers()
        self._liaison = Liaison(
            settings,
            self._switchboard,
            self._fast_jobs,
            self.bookings,
            self._losses,
            OwnerLock(self.database, self._owner),
            self.impressions,
            self.token_versions,
        )
        self._watch = Watch(
            settings,
            self._switchboard,
            self._cells,
            self._fast_jobs,
            Crew(
                settings,
                self._switchboard,
                accepting_jobs=self._fast_jobs,
                patient_jobs=self._jobs,
                committing=self._committing,
                bookings=self.bookings,
            ),
            self._hooks,
            each_tick=self._look_around,
            host_left=self._clean_up_after_host,
        )

        # Of the process that started it.
        self._pid: int | None = None
        self._accepting = False
        # Held while it starts.
        self._starting = threading.Lock()
        self._stop_asked = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start threads and actors and return at once; a store that is away is connected to when it is there.

        Everything that was accepted and is undecided is found and decided without further ado.

        Raises RuntimeError when it was started or stopped before.
        """
        with self._starting:
            if self._pid is not None or self._stop_asked.locked():
                raise RuntimeError("a supervisor is started once; make another")
            self._pid = os.getpid()
            if self.settings.fault_points:
                log.warning("faults are injected on purpose: %s", ", ".join(map(str, self.settings.fault_points)))
            try:
                self.database.open()
                self._accepting = True
                self._watch.start()
                self._liaison.start()
                self._relay.start()
                self._webhooks.start()
                self._hooks.start()
            except BaseException:
                # No thread to be had.
                self._stop_asked.acquire(blocking=False)
                self._tear_down(time.monotonic() + _SHORT_STOP_S)
                raise

    def stop(self, timeout: float = _STOP_TIMEOUT_S) -> None:
        """Stop accepting, let batches in flight finish, stop all actors and threads, close all connections.

        Returns within ``timeout`` seconds, more or less one; what is undecided waits in Redis for the next start.
        May be called again, by any thread, also by a hook: whoever comes second waits for the first, but a hook,
        whose end the first waits for, returns at once. In a fork of the process it does nothing.
        """
        if self._pid not in (None, os.getpid()):
            return
        self._accepting = False
        deadline = time.monotonic() + timeout
        if not self._stop_asked.acquire(blocking=False):
            if not any(part.runs_here() for part in (self._relay, self._hooks, self._watch)):
                self._stopped.wait(timeout)
            return
        with self._starting:
            self._tear_down(deadline)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def create_event(self, new: NewEvent) -> Event:
        """Create an event, whose sale begins at once or at ``opens_at``. Raises UnavailableError."""
        self._here()
        with _stores_may_fail():
            return self.events.create(new)

    def create_user(self, name: str, email: str, password: str | None = None, role: str = "USER") -> User:
        """Create an account that can book; without a password nobody can log in with it over HTTP.

        The address is stored in one canonical form. ``role`` is USER, ADMIN or OPS.

        Raises:
            ValueError: the name has not 1 to 200 characters, the address is none, the password has not 8 to 128
                characters, or there is no such role.
            AddressTakenError: another account has this address.
            UnavailableError: PostgreSQL is out of reach.

        """
        self._here()
        if role not in ROLES:
            raise ValueError(f"a role is one of {', '.join(sorted(ROLES))}")
        secret = None if password is None else hash_password(normalise_password(password))
        new = NewUser(normalise_name(name), canonical_email(email), secret, role)
        with _stores_may_fail():
            user = UserStore(self.database).create(new)
        if user is None:
            raise AddressTakenError("another account has this e-mail address")
        return user

    def submit(self, attempt: BookTickets) -> Receipt:
        """Accept a booking attempt; it will get exactly one answer, in the order of acceptance.

        Takes at most ``accept_timeout_s``, however long the queue is, and never waits for a decision: :meth:`wait`
        does. The user must exist.

        Raises:
            ValueError: the quantity is not 1 to 10, or the user's id cannot be one.
            UnknownEventError: there is no such event.
            QueueFullError: the event's queue is at its limit.
            TooManyInFlightError: the user's jobs waiting for this event are at their limit.
            IdempotencyConflictError: the key was used for another quantity.
            EventQuarantinedError: the event is held back after repeated crashes.
            DurabilityUnmetError: the stores keep accepted jobs less safely than ``required_durability``.
            UnavailableError: a store is out of reach, or the service is stopping. With a ``job_id`` the attempt
                may have been accepted: ask for its status, or repeat it with the same ``idempotency_key``.

        """
        self._here()
        if not self._accepting:
            raise UnavailableError("the service is stopping; try again")
        liaison = self._liaison
        return self._acceptance.accept(attempt, liaison.installation_key, liaison.durability, liaison.receipts)

    async def submit_async(self, attempt: BookTickets) -> Receipt:
        """Do what :meth:`submit` does without holding up the event loop.

        When the task is cancelled meanwhile the attempt may be accepted all the same: with an ``idempotency_key`` it
        can be repeated.
        """
        self._here()
        return await self._callers.run(lambda: self.submit(attempt))

    def status(self, job: Receipt | UUID) -> JobStatus | None:
        """Return where a job stands; None when it is unknown. Raises UnavailableError."""
        self._here()
        return self._desk.status(_job_id(job))

    def wait(self, job: Receipt | UUID, timeout: float | None = None) -> JobStatus:
        """Wait until a job has its answer and return it; a store that is away meanwhile is waited for, too.

        ``timeout`` is in seconds, None for as long as it takes.

        Raises:
            TimeoutError: it has no answer yet; nothing is lost by that.
            UnknownJobError: there is no such job.
            UnavailableError: the supervisor stops meanwhile; the job keeps its place.

        """
        self._here()
        if isinstance(job, Receipt) and job.answer is not None:
            return job.answer
        return self._waits.wait(_job_id(job), timeout)

    async def wait_async(self, job: Receipt | UUID, timeout: float | None = None) -> JobStatus:  # noqa: ASYNC109 - as wait has it
        """Do what :meth:`wait` does without holding up the event loop; thousands may wait at a time."""
        self._here()
        if isinstance(job, Receipt) and job.answer is not None:
            return job.answer
        return await self._waits.wait_async(_job_id(job), timeout, self._callers.run)

    @property
    def notices(self) -> NoticeBoard:
        """Where one may wait until a job that this process decides has its outcome; for the HTTP API."""
        return self._switchboard.notices

    def verify_receipt(self, receipt: SignedReceipt) -> Verdict:
        """Tell whether this installation gave that receipt, and what became of its job.

        For the HTTP API. Raises UnavailableError.
        """
        self._refuse_fork()
        return self._receipt_desk.check(self._liaison.receipts, receipt)

    def cancel(self, booking_id: int, user_id: int | None = None) -> Booking:
        """Cancel a booking and free its seats, exactly once; repeating it returns the same booking.

        With ``user_id`` only this user's booking is found. Raises UnknownBookingError, UnavailableError.
        """
        self._here()
        return self._gate.cancel(booking_id, user_id)

    def withdraw(self, job_id: UUID, user_id: int | None = None) -> None:
        """Take a waiting job out of the queue: its answer is ``cancelled``; repeating it changes nothing.

        With ``user_id`` only this user's job is found. Raises UnknownJobError, AlreadyDecidedError, UnavailableError.
        """
        self._here()
        job_id = _job_id(job_id)
        self._gate.withdraw(job_id, user_id)
        self.notices.ring_for(job_id)

    def set_capacity(self, event_id: int, capacity: int) -> CapacityChanged:
        """Set how many tickets an event has, 0 to 10,000,000, and return its numbers.

        Raises ValueError, UnknownEventError, CapacityBelowSoldError (with what is ``sold``), UnavailableError.
        """
        self._here()
        return self._editing.set_capacity(event_id, capacity)

    def edit_event(
        self,
        event_id: int,
        edit: EventEdit,
        *,
        versions: Collection[int] | None = None,
        describe: Describe | None = None,
    ) -> Event:
        """Change an event and return it as it is then; what is so already makes no new version.

        With ``versions`` only an event that has one of them is changed. With ``describe`` the change is noted in the
        audit log, in the same transaction.

        Raises UnknownEventError, OutdatedVersionError, EmptyWindowError, CapacityBelowSoldError, SaleHasBegunError,
        UnavailableError.
        """
        self._here()
        return self._editing.edit(event_id, edit, versions=versions, describe=describe)

    def delete_event(self, event_id: int, *, force: bool = False, deed: Deed | None = None) -> int:
        """Mark an event as gone, and return how many bookings this call cancelled; nothing is erased.

        Without ``force`` only an event without sold tickets and waiting jobs. With it its bookings are cancelled, and
        jobs that wait are answered ``event_gone``. A ``deed`` is noted in the audit log with it.

        Raises UnknownEventError, EventInUseError, UnavailableError.
        """
        self._here()
        return self._deletion.delete(event_id, force=force, deed=deed)

    def pause(self, event_id: int | None = None, *, deed: Deed | None = None) -> None:
        """Decide nothing more for one event, or for all, from when this returns until :meth:`resume`.

        It is in force in all processes over this database, and survives restarts; accepting goes on. A ``deed`` is
        noted in the audit log with it. Raises UnknownEventError, UnavailableError.
        """
        self._here()
        self._gate.pause(event_id, paused=True, deed=deed)

    def resume(self, event_id: int | None = None, *, deed: Deed | None = None) -> None:
        """End a pause, and release the event, or all, from this process's quarantine.

        A ``deed`` is noted in the audit log with it. Raises UnknownEventError, UnavailableError.
        """
        self._here()
        self._gate.pause(event_id, paused=False, deed=deed)
        pauses = self._switchboard.pauses
        pauses.over(pauses.known() if event_id is None else [event_id])
        for cell in self._cells.every():
            if event_id in (None, cell.event_id):
                cell.pardon()
                tell(cell.ref, Rescan())

    def health(self) -> HealthReport:
        """Return the state of the service as known now; asks nobody, so it never waits."""
        self._refuse_fork()
        board, liaison, settings = self._switchboard, self._liaison, self.settings
        gatherers = self._watch.gatherers_run()
        known = liaison.installation_key is not None
        redis = redis_health(board, liaison.redis_state, self._losses)
        postgresql = postgres_health(board, liaison.postgres_state, reached=known)
        actors = actors_health(self._cells, wanted=self._accepting, running=gatherers, restarts=self._watch.restarts)
        # With PostgreSQL away bookings are still accepted, and wait: taking the service out of rotation
        # would only refuse them. With Redis away they are decided at once, if the operator wants that.
        direct = settings.degraded_booking and postgresql.ok
        safe = liaison.durability.suffices(Durability(settings.required_durability))
        ready = self._accepting and gatherers and (redis.ok or direct) and known and safe
        return HealthReport(ready, {"redis": redis, "postgresql": postgresql, "actors": actors})

    def stats(self) -> QueueStats:
        """Return how much waits, is being decided and is finished, and whether it moves. Raises UnavailableError."""
        self._here()
        backlog = self.backlog()
        if backlog is None:
            raise UnavailableError("the queue is out of reach; try again")
        return queue_stats(
            backlog,
            self.health(),
            self._cells,
            gatherers_run=self._watch.gatherers_run(),
            paused=self._all_paused(),
            stuck_s=self.settings.stuck_s,
            now=time.monotonic(),
        )

    def audit(self, event_id: int | None = None) -> AuditReport:
        """Recompute one event, or all, from their rows, and replay the ledger; ``ok`` tells whether all is right.

        May run while tickets are sold; takes seconds per 100,000 entries. Raises UnknownEventError, UnavailableError.
        """
        self._here()
        with _stores_may_fail():
            report = Auditor(self.database).run(event_id)
        if event_id is not None and not report.events:
            raise UnknownEventError("there is no such event")
        return report

    def backlog(self) -> Backlog | None:
        """Return what waits in all events together, None while Redis is out of reach; for the HTTP API."""
        self._refuse_fork()
        return self._unless_away(lambda: self._fast_jobs.backlog(_BACKLOG_EVENTS_MAX))

    def queued(self, event_id: int) -> int | None:
        """Return how many of the event's jobs are undecided, None while Redis is out of reach; for the HTTP API."""
        self._refuse_fork()
        return self._unless_away(lambda: self._fast_jobs.depth(event_id))

    def _close_queue(self, event_id: int) -> None:
        self._unless_away(lambda: self._fast_jobs.close_queue(event_id))

    def _unless_away(self, ask: Callable[[], T]) -> T | None:
        if self._switchboard.redis.is_open:
            return None
        try:
            return ask()
        except StoreError as error:
            self._switchboard.redis_failed(error)
            return None

    def retry(self, job_id: UUID, request_id: str | None = None) -> Receipt:
        """Queue what a dead letter had wanted as a new job; the old one stays as it is.

        Raises UnknownJobError, NotFailedError, and what :meth:`submit` raises.
        """
        self._here()
        return self.submit(self.dead_letters.attempt_again(job_id, request_id))

    def _all_paused(self) -> bool | None:
        try:
            return self.bookings.all_paused(self._switchboard.postgres_patience_s(self.settings.accept_timeout_s))
        except StoreError:
            return None

    def _here(self) -> None:
        self._refuse_fork()
        if self._pid is None:
            raise RuntimeError("the supervisor is not started: call start(), or use it in a with statement")

    def _refuse_fork(self) -> None:
        if self._pid not in (None, os.getpid()):
            raise ForkedError(FORKED)

    def _look_around(self) -> None:
        self._liaison.notice_silence()
        self._hooks.health(self.health)

    def _clean_up_after_host(self) -> None:
        sentence = "the program ended without stopping its supervisor; call stop(), or use a with statement"
        log.warning("%s; it is stopped now", sentence)
        try:
            warnings.warn(sentence, ResourceWarning, source=self, stacklevel=1)
        finally:
            self.stop(_SHORT_STOP_S)

    def _tear_down(self, deadline: float) -> None:
        self._accepting = False
        interruption: BaseException | None = None
        for step in self._last_steps(deadline):
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the rest is stopped, too
                interruption = error
        self._stopped.set()
        if interruption is not None:
            raise interruption

    def _last_steps(self, deadline: float) -> Iterator[Callable[[], object]]:
        def left_s(at_most: float = _STOP_TIMEOUT_S) -> float:
            return min(at_most, max(_LAST_MOMENT_S, deadline - time.monotonic()))

        yield lambda: self._watch.drain(deadline)
        yield lambda: self._watch.stop(deadline)
        # Whoever waits for an answer is told that none comes.
        yield self.notices.ring_all
        yield lambda: self._relay.stop(left_s(_RELAY_AT_STOP_S))
        yield lambda: self._webhooks.stop(left_s(_WEBHOOKS_AT_STOP_S))
        yield lambda: self._hooks.health(self.health)
        yield lambda: self._hooks.stop(left_s(_HOOKS_AT_STOP_S))
        yield lambda: self._liaison.stop(left_s())
        yield self._callers.close
        yield lambda: self.database.close(left_s())
        yield self._fast_jobs.close
        yield self._jobs.close
        yield self.shared_events.close
        yield self.rate_counters.close


@contextmanager
def _stores_may_fail() -> Iterator[None]:
    try:
        yield
    except SchemaError as error:
        raise UnavailableError("the database is not migrated: run aurora-atlan migrate") from error
    except TransientError as error:
        raise UnavailableError("a store is out of reach; try again") from error


def _job_id(job: Receipt | UUID) -> UUID:
    # A driver of the host's may have a class of its own for them.
    return job.job_id if isinstance(job, Receipt) else UUID(int=job.int)


def _job_store(settings: Settings, client: Client) -> JobStore:
    return JobStore(
        client,
        depth_max=settings.queue_depth_max,
        user_jobs_max=settings.user_jobs_in_flight_max,
        ttl_s=settings.job_ttl_s,
    )
