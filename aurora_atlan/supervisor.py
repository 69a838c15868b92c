"""The supervisor: what a program starts, asks and stops, and who restarts what and when to give up.

A plain thread, not an actor, watches over the actors: it activates, restarts and rings.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from aurora_atlan.actors.acceptance import Acceptance
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import EventCell, RestartPolicy
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.commit import Committing
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.dead_letters import DeadLetters
from aurora_atlan.actors.deletion import Deletion
from aurora_atlan.actors.direct import DirectBooking
from aurora_atlan.actors.editing import CapacityChanged, Describe, Editing
from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.faults import Faults
from aurora_atlan.actors.gate import Gate
from aurora_atlan.actors.health import HealthReport, actors_health, postgres_health, redis_health
from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.actors.liaison import Liaison
from aurora_atlan.actors.losses import LossWatch
from aurora_atlan.actors.messages import (
    BookTickets,
    CommitterReplaced,
    Drain,
    Flush,
    JobStatus,
    Passivate,
    Receipt,
    Rescan,
)
from aurora_atlan.actors.metrics import Metrics, NoMetrics
from aurora_atlan.actors.notices import NoticeBoard
from aurora_atlan.actors.queue_desk import QueueDesk
from aurora_atlan.actors.queue_report import QueueReport, queue_report
from aurora_atlan.actors.receipts import ReceiptDesk, SignedReceipt, Verdict
from aurora_atlan.actors.relay import OutboxRelay
from aurora_atlan.actors.scheduler import Scheduler
from aurora_atlan.actors.seeding import Seeding
from aurora_atlan.actors.status import StatusDesk
from aurora_atlan.actors.supervised import Ref, abandon, is_stuck, lives, stop, tell
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.actors.waiting import IN_THREAD, Waiting
from aurora_atlan.actors.webhook_sender import WebhookSender
from aurora_atlan.config import Settings
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.dead_letters import DeadLetterStore
from aurora_atlan.persistence.durability import Durability
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.events import Event, EventEdit, EventStore
from aurora_atlan.persistence.finished_jobs import FinishedJobs
from aurora_atlan.persistence.impressions import ImpressionCounter
from aurora_atlan.persistence.jobs import Backlog, JobStore
from aurora_atlan.persistence.outbox import Told
from aurora_atlan.persistence.ownership import OwnerLock, new_owner
from aurora_atlan.persistence.queue_pages import QueuePages
from aurora_atlan.persistence.rate_counters import RateCounters
from aurora_atlan.persistence.records import Booking
from aurora_atlan.persistence.redis_clients import accepting_client, patient_client
from aurora_atlan.persistence.token_versions import TokenVersions

log = logging.getLogger(__name__)

T = TypeVar("T")

# The longest the watching thread sleeps; whoever has work for it wakes it at once.
_TICK_S = 0.25
# How often to look for actors that are dead without a word: found and replaced within a second.
_LOOK_S = 0.5
# What is in flight for longer is shown as being processed.
_SHOWN_AFTER_S = 0.2
# Work in the log, an idle actor, and no progress for so long: its doorbell was lost.
_SILENCE_S = 0.5
_RELAY_AT_STOP_S = 2.0
_WEBHOOKS_AT_STOP_S = 2.0
_WAIT_FOR_STORES_S = 1.0
_DRAIN_TICK_S = 0.02
_GATHERER_RESTARTS_MAX = 5
# Of each of the 64 shards.
_BACKLOG_EVENTS_MAX = 1_000


class Supervisor:
    """Sells tickets over one PostgreSQL and one Redis, through one actor per event.

    ``start`` and ``stop`` once each, or as a context manager. All methods may be called by any thread.
    """

    def __init__(self, settings: Settings, *, on_outcome: Callable[[Told], None] | None = None) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.events = EventStore(self.database)
        self.impressions = ImpressionCounter(self.database)
        self.token_versions = TokenVersions()
        self._owner = new_owner()
        self.bookings = BookingStore(self.database, self._owner)
        fast = accepting_client(settings)
        self._fast_jobs = _job_store(settings, fast)
        self._jobs = _job_store(settings, patient_client(settings))
        self._scheduler = Scheduler(time.monotonic)
        faults = Faults(settings.fault_points)
        self.metrics = Metrics() if settings.metrics else NoMetrics()
        self._switchboard = Switchboard(self._scheduler, faults, self.metrics)
        self.rate_counters = RateCounters(settings, lambda: self._switchboard.redis.is_open)
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

        self._actor_restarts = 0
        # Since the last sweep.
        self._gatherer_restarts = 0
        self._next_look = self._next_sweep = 0.0
        self._accepting = False
        self._stopping = threading.Event()
        self._stop_lock = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name="aurora-watch", daemon=True)

    def start(self) -> None:
        """Start threads and actors and return at once; a store that is away is connected to when it is there.

        Everything that was accepted and is undecided is found and decided without further ado.
        """
        if self.settings.fault_points:
            log.warning("faults are injected on purpose: %s", ", ".join(map(str, self.settings.fault_points)))
        self.database.open()
        self._start_gatherers()
        self._accepting = True
        self._watcher.start()
        self._liaison.start()
        self._relay.start()
        self._webhooks.start()

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop accepting, let batches in flight finish, stop all actors and threads, close all connections.

        Returns within ``timeout_s`` seconds, more or less one; what is undecided waits in Redis for the next start.
        Calling it again does nothing.
        """
        deadline = time.monotonic() + timeout_s
        with self._stop_lock:
            if self._stopping.is_set():
                return
            self._accepting = False
            self._drain_actors(deadline)
            self._stopping.set()
            self._scheduler.wake.set()
            if self._watcher.is_alive():
                self._watcher.join(max(0.1, deadline - time.monotonic()))
            self._stop_booking_actors(deadline)
            for ref in (self._switchboard.journal, self._switchboard.committer, self._switchboard.patient):
                stop(ref, max(0.1, deadline - time.monotonic()))
            self._relay.stop(_RELAY_AT_STOP_S)
            self._webhooks.stop(_WEBHOOKS_AT_STOP_S)
            self._liaison.stop(max(0.1, deadline - time.monotonic()))
            self.database.close()
            self._fast_jobs.close()
            self._jobs.close()
            self.rate_counters.close()

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

    def submit(self, attempt: BookTickets, waiting: Waiting = IN_THREAD) -> Receipt:
        """Accept a booking attempt; it will get exactly one answer, in the order of acceptance.

        Takes at most ``accept_timeout_s``, however long the queue is, and never waits for a decision; ``waiting``
        is how it waits for the queue.

        Raises:
            ValueError: the quantity is not 1 to 10, or the user's id cannot be one.
            UnknownEventError: there is no such event.
            QueueFullError: the event's queue is at its limit.
            TooManyInFlightError: the user's jobs waiting for this event are at their limit.
            IdempotencyConflictError: the key was used for another quantity.
            EventQuarantinedError: the event is held back after repeated crashes.
            UnavailableError: a store is out of reach, or the service is stopping. With a ``job_id`` the attempt
                may have been accepted: ask for its status, or repeat it with the same ``idempotency_key``.

        """
        if not self._accepting:
            raise UnavailableError("the service is stopping; try again")
        liaison = self._liaison
        return self._acceptance.accept(attempt, liaison.installation_key, liaison.durability, liaison.receipts, waiting)

    def status(self, job_id: UUID) -> JobStatus | None:
        """Return where a job stands; None when it is unknown. Raises UnavailableError."""
        return self._desk.status(job_id)

    @property
    def notices(self) -> NoticeBoard:
        """Where one may wait until a job that this process decides has its outcome."""
        return self._switchboard.notices

    def verify_receipt(self, receipt: SignedReceipt) -> Verdict:
        """Tell whether this installation gave that receipt, and what became of its job. Raises UnavailableError."""
        return self._receipt_desk.check(self._liaison.receipts, receipt)

    def cancel(self, booking_id: int, user_id: int | None = None) -> Booking:
        """Cancel a booking and free its seats, exactly once; see :meth:`Gate.cancel`."""
        return self._gate.cancel(booking_id, user_id)

    def withdraw(self, job_id: UUID, user_id: int | None = None) -> None:
        """Take a waiting job out of the queue; see :meth:`Gate.withdraw`."""
        self._gate.withdraw(job_id, user_id)
        self.notices.ring_for(job_id)

    def set_capacity(self, event_id: int, capacity: int) -> CapacityChanged:
        """Set an event's capacity, not below what is sold; see :meth:`Editing.set_capacity`."""
        return self._editing.set_capacity(event_id, capacity)

    def edit_event(
        self,
        event_id: int,
        edit: EventEdit,
        *,
        versions: Collection[int] | None = None,
        describe: Describe | None = None,
    ) -> Event:
        """Change an event and return it as it is then; see :meth:`Editing.edit`."""
        return self._editing.edit(event_id, edit, versions=versions, describe=describe)

    def delete_event(self, event_id: int, *, force: bool = False, deed: Deed | None = None) -> int:
        """Mark an event as gone, with ``force`` cancelling its bookings; see :meth:`Deletion.delete`."""
        return self._deletion.delete(event_id, force=force, deed=deed)

    def pause(self, event_id: int | None = None, *, deed: Deed | None = None) -> None:
        """Decide nothing more for one event, or for all, from when this returns until :meth:`resume`.

        A ``deed`` is noted in the audit log with it.
        """
        self._gate.pause(event_id, paused=True, deed=deed)

    def resume(self, event_id: int | None = None, *, deed: Deed | None = None) -> None:
        """End a pause, and release the event, or all, from quarantine; a ``deed`` is noted in the audit log."""
        self._gate.pause(event_id, paused=False, deed=deed)
        for cell in self._cells.every():
            if event_id in (None, cell.event_id):
                cell.pardon()
                tell(cell.ref, Rescan())

    def health(self) -> HealthReport:
        """Return the state of the service as known now; asks nobody, so it never waits."""
        board, liaison, settings = self._switchboard, self._liaison, self.settings
        gatherers = self._gatherers_run()
        known = liaison.installation_key is not None
        redis = redis_health(board, liaison.redis_state, self._losses)
        postgresql = postgres_health(board, liaison.postgres_state, reached=known)
        actors = actors_health(self._cells, running=gatherers, restarts=self._actor_restarts)
        # With PostgreSQL away bookings are still accepted, and wait: taking the service out of rotation
        # would only refuse them. With Redis away they are decided at once, if the operator wants that.
        direct = settings.degraded_booking and postgresql.ok
        safe = liaison.durability.suffices(Durability(settings.required_durability))
        ready = self._accepting and gatherers and (redis.ok or direct) and known and safe
        return HealthReport(ready, {"redis": redis, "postgresql": postgresql, "actors": actors})

    def backlog(self) -> Backlog | None:
        """Return what waits in all events together, None while Redis is out of reach."""
        return self._unless_away(lambda: self._fast_jobs.backlog(_BACKLOG_EVENTS_MAX))

    def queued(self, event_id: int) -> int | None:
        """Return how many of the event's jobs are undecided, None while Redis is out of reach."""
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

    def queue_report(self) -> QueueReport:
        """Return how much waits, is being decided and is finished, and whether it moves. Raises UnavailableError."""
        backlog = self.backlog()
        if backlog is None:
            raise UnavailableError("the queue is out of reach; try again")
        return queue_report(
            backlog,
            self.health(),
            self._cells,
            gatherers_run=self._gatherers_run(),
            paused=self._all_paused(),
            stuck_s=self.settings.stuck_s,
            now=time.monotonic(),
        )

    def retry(self, job_id: UUID, request_id: str | None = None) -> Receipt:
        """Queue what a dead letter had wanted as a new job; the old one stays as it is.

        Raises UnknownJobError, NotFailedError, and what :meth:`submit` raises.
        """
        return self.submit(self.dead_letters.attempt_again(job_id, request_id))

    def _all_paused(self) -> bool | None:
        try:
            return self.bookings.all_paused(self._switchboard.postgres_patience_s(self.settings.accept_timeout_s))
        except StoreError:
            return None

    def _gatherers_run(self) -> bool:
        board = self._switchboard
        return all(ref is not None and ref.is_alive() for ref in (board.journal, board.committer, board.patient))

    # The watching thread.

    def _watch(self) -> None:
        while not self._stopping.is_set():
            wait_s = None
            try:
                wait_s = self._tick()
            except Exception:
                log.exception("the watch over the actors stumbled")
            self._scheduler.wake.wait(min(_TICK_S, wait_s if wait_s is not None else _TICK_S))
            self._scheduler.wake.clear()

    def _tick(self) -> float | None:
        # Returns the seconds until something is due.
        wait_s = self._scheduler.tell_due()
        self._liaison.notice_silence()
        self._restart_gatherers()
        self._activate()
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._find_dead()
            self._show_processing(now)
        if now >= self._next_sweep:
            self._next_sweep = now + self.settings.sweep_s
            self._sweep(now)
        return wait_s

    def _activate(self) -> None:
        if not self._accepting or not self._cells.wanting():
            return
        self._make_room()
        room = self.settings.actors_max - len(self._cells.alive())
        for cell in self._cells.startable(room):
            generation = cell.begin()
            try:
                ref = BookingActor.start_hidden(
                    cell, generation, self._switchboard, self._jobs, self.settings.batch_max, self._actor_died
                )
            except RuntimeError as error:
                # No thread to be had.
                self._actor_died(cell, generation, error)
                continue
            if cell.started(generation, ref, time.monotonic()):
                # It knows that it has everything to read; it may have begun for a job told before this.
                tell(ref, Flush())

    def _sweep(self, now: float) -> None:
        self._gatherer_restarts = 0
        for cell in self._cells.alive():
            self._look_after(cell, now)
        self._find_work(now)

    def _find_dead(self) -> None:
        # Those whose death nobody could report.
        for cell in self._cells.alive():
            ref, generation = cell.ref, cell.generation
            if ref is not None and not lives(ref):
                self._actor_died(cell, generation, None)

    def _show_processing(self, now: float) -> None:
        # For display alone. Most batches are decided sooner than anybody could see them being processed.
        new = [
            (cell, flight[0])
            for cell in self._cells.alive()
            if (flight := cell.in_flight) is not None
            and now - flight[1] > _SHOWN_AFTER_S
            and flight[0] != cell.shown_number
        ]
        if not new or self._switchboard.redis.is_open or self._switchboard.redis_writes.is_open:
            return
        try:
            self._fast_jobs.announce([(cell.event_id, number) for cell, number in new])
        except StoreError as error:
            self._switchboard.redis_failed(error)
            return
        for cell, number in new:
            cell.shown_number = number

    def _look_after(self, cell: EventCell, now: float) -> None:
        ref, generation = cell.ref, cell.generation
        if ref is not None and is_stuck(ref, self.settings.stuck_s):
            abandon(ref)
            self._actor_died(cell, generation, TimeoutError("stuck; what it still does is ignored"))
        elif not cell.busy and now - cell.last_progress > self.settings.actor_idle_s:
            tell(cell.ask_to_passivate(), Passivate())

    def _find_work(self, now: float) -> None:
        # The index of events with work is the doorbell of last resort: for jobs another process accepted,
        # or this one before it was killed, or that were accepted although the reply was lost.
        if self._switchboard.redis.is_open:
            return
        try:
            events = self._fast_jobs.events_with_work(self.settings.actors_max)
        except StoreError as error:
            self._switchboard.redis_failed(error)
            return
        for event_id in events:
            cell = self._cells.get_or_make(event_id)
            if not cell.alive:
                self._cells.want(cell)
            elif not cell.busy and now - cell.last_progress > _SILENCE_S:
                tell(cell.ref, Rescan())

    def _make_room(self) -> None:
        # Over the cap the least recently used idle actors go first.
        alive = self._cells.alive()
        excess = len(alive) + self._cells.wanting() - self.settings.actors_max
        if excess > 0:
            idle = [cell for cell in alive if not cell.busy]
            for cell in sorted(idle, key=lambda cell: cell.last_progress)[:excess]:
                tell(cell.ask_to_passivate(), Passivate())

    def _actor_died(self, cell: EventCell, generation: int, error: BaseException | None) -> None:
        state = cell.crashed(generation, time.monotonic())
        if state is None:
            return
        self._actor_restarts += 1
        fields = {"event_id": cell.event_id}
        log.error("event %d: its actor crashed (%r); now in %s", cell.event_id, error, state.name, extra=fields)
        self._cells.want(cell)

    def _start_gatherers(self) -> None:
        self._switchboard.journal = self._start_journal()
        self._switchboard.committer = self._start_committer(patient=False)
        self._switchboard.patient = self._start_committer(patient=True)

    def _start_journal(self) -> Ref:
        return JournalActor.start_hidden(self._switchboard, self._fast_jobs, self._cells.announce, self._gatherer_died)

    def _start_committer(self, *, patient: bool) -> Ref:
        return CommitterActor.start_hidden(
            self._switchboard,
            self._committing,
            self.bookings,
            self._jobs,
            self._gatherer_died,
            jobs_max=self.settings.transaction_jobs_max,
            patient=patient,
        )

    def _gatherer_died(self, error: BaseException | None) -> None:
        log.error("a gathering actor crashed: %r", error)
        self._scheduler.wake.set()

    def _restart_gatherers(self) -> None:
        # At once, but only so often between two sweeps: without them nothing works, so nobody gives up.
        if not self._accepting or self._gatherer_restarts >= _GATHERER_RESTARTS_MAX:
            return
        board = self._switchboard
        if self._is_lost(board.journal):
            board.journal = self._start_journal()
            self._count_gatherer_restart()
        replaced = False
        if self._is_lost(board.committer):
            board.committer = self._start_committer(patient=False)
            replaced = True
        if self._is_lost(board.patient):
            board.patient = self._start_committer(patient=True)
            replaced = True
        if replaced:
            self._count_gatherer_restart()
            for cell in self._cells.alive():
                tell(cell.ref, CommitterReplaced())

    def _is_lost(self, gatherer: Ref | None) -> bool:
        if gatherer is not None and is_stuck(gatherer, self.settings.stuck_s):
            log.error("a gathering actor hangs and is replaced; what it still does is ignored")
            abandon(gatherer)
            return True
        return not lives(gatherer)

    def _count_gatherer_restart(self) -> None:
        self._gatherer_restarts += 1
        self._actor_restarts += 1

    def _stop_booking_actors(self, deadline: float) -> None:
        # Those whose batches nobody could decide in time; the batches stay in the queue.
        for cell in self._cells.alive():
            stop(cell.ref, max(0.1, deadline - time.monotonic()))

    def _drain_actors(self, deadline: float) -> None:
        # A batch that waits for a store that is away stays in the queue for the next start.
        patience = time.monotonic() + _WAIT_FOR_STORES_S
        while (alive := self._cells.alive()) and (now := time.monotonic()) < deadline:
            if now > patience and (self._switchboard.redis.is_open or self._switchboard.postgres.is_open):
                return
            for cell in alive:
                # Again and again: one that was just being started was not there to be told.
                tell(cell.ref, Drain())
            time.sleep(_DRAIN_TICK_S)


def _job_store(settings: Settings, client: Any) -> JobStore:
    return JobStore(
        client,
        depth_max=settings.queue_depth_max,
        user_jobs_max=settings.user_jobs_in_flight_max,
        ttl_s=settings.job_ttl_s,
    )
