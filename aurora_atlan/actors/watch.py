"""The watch: a plain thread, not an actor, that looks after the actors.

It activates, restarts and rings, and it alone decides when to give up. It is also the one that notices that the
host's program has ended without stopping us.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Sequence

from aurora_atlan.actors.cell import CellState, EventCell
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.crew import Crew
from aurora_atlan.actors.hooks import Hooks, RestartNotice
from aurora_atlan.actors.messages import CommitterReplaced, Drain, Flush, Passivate, Rescan
from aurora_atlan.actors.supervised import Ref, abandon, is_stuck, lives, stop, tell
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.config import Settings
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.jobs import JobStore

log = logging.getLogger(__name__)

# The longest the thread sleeps; whoever has work for it wakes it at once.
_TICK_S = 0.25
# The shortest: where events come and go all the time, those that want an actor or leave one are many at a time.
_REST_S = 0.005
# How often to look for actors that are dead without a word: found and replaced within a second.
_LOOK_S = 0.5
# What is in flight for longer is shown as being processed.
_SHOWN_AFTER_S = 0.2
# Work in the log, an idle actor, and no progress for so long: its doorbell was lost.
_SILENCE_S = 0.5
_WAIT_FOR_STORES_S = 1.0
_DRAIN_TICK_S = 0.02
_GATHERER_RESTARTS_MAX = 5
# What is said of an actor that could not report its death.
_NO_WORD = "found dead or hanging"
# Even when the time to stop is over, an actor that is about to end may do so.
_LAST_MOMENT_S = 0.01
# How long the threads of actors that were told to stop are waited for.
_THREADS_END_S = 1.0


class _WatchThread(threading.Thread):
    """Not a daemon: the interpreter waits for it at its exit, and so it can clean up after a forgotten ``stop``."""


class Watch:
    """Keeps one actor for every event that has work, and those that there is one of."""

    def __init__(
        self,
        settings: Settings,
        switchboard: Switchboard,
        cells: Cells,
        jobs: JobStore,
        crew: Crew,
        hooks: Hooks,
        *,
        each_tick: Callable[[], None],
        host_left: Callable[[], None],
    ) -> None:
        """Make a watch.

        ``each_tick`` is called four times a second or more often, ``host_left`` once, when nothing of the host's
        program runs any more.
        """
        self._settings = settings
        self._switchboard = switchboard
        self._cells = cells
        self._jobs = jobs
        self._crew = crew
        self._hooks = hooks
        self._each_tick = each_tick
        self._host_left = host_left
        # Of actors, since the start.
        self.restarts = 0
        # Since the last sweep.
        self._gatherer_restarts = 0
        self._gatherer_error = _NO_WORD
        self._next_look = self._next_sweep = 0.0
        self._draining = False
        self._stopping = threading.Event()
        self._thread = _WatchThread(target=self._run, name="aurora-watch", daemon=False)

    def start(self) -> None:
        """Start the actors that there is one of, and the thread."""
        board = self._switchboard
        board.journal = self._start_journal()
        board.committer = self._start_committer(patient=False)
        board.patient = self._start_committer(patient=True)
        self._thread.start()

    def drain(self, deadline: float) -> None:
        """Let what is in flight land and every booking actor stop, until ``deadline`` of the monotonic clock.

        A batch that waits for a store that is away stays in the queue for the next start.
        """
        self._draining = True
        board = self._switchboard
        patience = time.monotonic() + _WAIT_FOR_STORES_S
        while (alive := self._cells.alive()) and (now := time.monotonic()) < deadline:
            if now > patience and (board.redis.is_open or board.postgres.is_open):
                return
            for cell in alive:
                # Again and again: one that was just being started was not there to be told.
                tell(cell.ref, Drain())
            time.sleep(_DRAIN_TICK_S)

    def stop(self, deadline: float) -> None:
        """Stop the thread and all actors, until ``deadline``; what is undecided stays in the queue."""
        self._draining = True
        self._stopping.set()
        self._switchboard.scheduler.wake.set()
        if self._thread.is_alive() and not self.runs_here():
            self._thread.join(_left_s(deadline))
        booking = [cell.ref for cell in self._cells.alive()]
        for ref in booking:
            if ref is not None:
                # All of them first: those that hang do so together.
                abandon(ref)
        board = self._switchboard
        for ref in (*booking, board.journal, board.committer, board.patient):
            stop(ref, _left_s(deadline))
        # Not for those that hang and were replaced long ago.
        self._crew.dismiss(time.monotonic() + min(_left_s(deadline), _THREADS_END_S))

    def runs_here(self) -> bool:
        """Tell whether the calling thread is this one's."""
        return self._thread is threading.current_thread()

    def gatherers_run(self) -> bool:
        """Tell whether the actors that there is one of all live."""
        board = self._switchboard
        return all(ref is not None and ref.is_alive() for ref in (board.journal, board.committer, board.patient))

    def tick(self) -> float | None:
        """Do one round; return the seconds until something is due, None when nothing is."""
        wait_s = self._switchboard.scheduler.tell_due()
        self._each_tick()
        self._restart_gatherers()
        self._activate()
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._find_dead()
            self._show_processing(now)
        if now >= self._next_sweep:
            self._next_sweep = now + self._settings.sweep_s
            self._sweep(now)
        return wait_s

    def _run(self) -> None:
        wake = self._switchboard.scheduler.wake
        while not self._stopping.is_set():
            wait_s = None
            try:
                wait_s = self.tick()
            except Exception:
                log.exception("the watch over the actors stumbled")
            if _host_has_left():
                self._host_left()
                return
            wait_s = _TICK_S if wait_s is None else min(_TICK_S, wait_s)
            rested_at = time.monotonic() + min(_REST_S, wait_s)
            wake.wait(wait_s)
            # Whoever wakes it after a while is not made to wait.
            if (left_s := rested_at - time.monotonic()) > 0:
                self._stopping.wait(left_s)
            wake.clear()

    def _activate(self) -> None:
        if self._draining or not self._cells.wanting():
            return
        alive = self._cells.alive()
        self._make_room(alive)
        room = self._settings.actors_max - len(alive)
        for cell in self._cells.startable(room):
            generation = cell.begin()
            try:
                ref = self._crew.start_booking_actor(cell, generation, self._actor_died)
            except RuntimeError as error:
                # No thread to be had.
                self._actor_died(cell, generation, error)
                continue
            if cell.started(generation, ref, time.monotonic()):
                # It reads what waits, or takes what was left to it; it may have begun for a job told before this.
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
            self._jobs.announce([(cell.event_id, number) for cell, number in new])
        except StoreError as error:
            self._switchboard.redis_failed(error)
            return
        for cell, number in new:
            cell.shown_number = number

    def _look_after(self, cell: EventCell, now: float) -> None:
        ref, generation = cell.ref, cell.generation
        if ref is not None and is_stuck(ref, self._settings.stuck_s):
            abandon(ref)
            self._actor_died(cell, generation, TimeoutError("stuck; what it still does is ignored"))
        elif not cell.busy and now - cell.last_progress > self._settings.actor_idle_s:
            tell(cell.ask_to_passivate(), Passivate())

    def _find_work(self, now: float) -> None:
        # The index of events with work is the doorbell of last resort: for jobs another process accepted,
        # or this one before it was killed, or that were accepted although the reply was lost.
        if self._switchboard.redis.is_open:
            return
        try:
            # Those that are known to be paused must not hide others.
            paused = len(self._switchboard.pauses.known())
            events = self._jobs.events_with_work(self._settings.actors_max + paused)
        except StoreError as error:
            self._switchboard.redis_failed(error)
            return
        for event_id in events:
            if event_id in self._switchboard.pauses:
                continue
            cell = self._cells.get_or_make(event_id)
            if not cell.alive:
                self._cells.want(cell)
            elif not cell.busy and now - cell.last_progress > _SILENCE_S:
                tell(cell.ref, Rescan())

    def _make_room(self, alive: Sequence[EventCell]) -> None:
        # Over the cap the least recently used idle actors go first.
        excess = len(alive) + self._cells.wanting() - self._settings.actors_max
        if excess > 0:
            idle = (cell for cell in alive if not cell.busy)
            for cell in heapq.nsmallest(excess, idle, key=lambda cell: cell.last_progress):
                tell(cell.ask_to_passivate(), Passivate())

    def _actor_died(self, cell: EventCell, generation: int, error: BaseException | None) -> None:
        state = cell.crashed(generation, time.monotonic())
        if state is None:
            return
        self.restarts += 1
        fields = {"event_id": cell.event_id}
        log.error("event %d: its actor crashed (%r); now in %s", cell.event_id, error, state.name, extra=fields)
        held_back = state is CellState.QUARANTINED
        self._hooks.restarted(
            RestartNotice(
                "booking", _NO_WORD if error is None else repr(error), event_id=cell.event_id, quarantined=held_back
            )
        )
        self._cells.want(cell)

    def _start_journal(self) -> Ref:
        return self._crew.start_journal(self._cells, self._gatherer_died)

    def _start_committer(self, *, patient: bool) -> Ref:
        return self._crew.start_committer(self._gatherer_died, patient=patient)

    def _gatherer_died(self, error: BaseException | None) -> None:
        log.error("a gathering actor crashed: %r", error)
        self._gatherer_error = repr(error)
        self._switchboard.scheduler.wake.set()

    def _restart_gatherers(self) -> None:
        # At once, but only so often between two sweeps: without them nothing works, so nobody gives up.
        if self._draining or self._gatherer_restarts >= _GATHERER_RESTARTS_MAX:
            return
        board = self._switchboard
        if self._is_lost(board.journal):
            board.journal = self._start_journal()
            self._gatherer_restarted("journal")
        replaced = False
        if self._is_lost(board.committer):
            board.committer = self._start_committer(patient=False)
            replaced = True
        if self._is_lost(board.patient):
            board.patient = self._start_committer(patient=True)
            replaced = True
        if replaced:
            self._gatherer_restarted("committer")
            for cell in self._cells.alive():
                tell(cell.ref, CommitterReplaced())

    def _is_lost(self, gatherer: Ref | None) -> bool:
        if gatherer is not None and is_stuck(gatherer, self._settings.stuck_s):
            log.error("a gathering actor hangs and is replaced; what it still does is ignored")
            abandon(gatherer)
            return True
        return not lives(gatherer)

    def _gatherer_restarted(self, actor: str) -> None:
        self._gatherer_restarts += 1
        self.restarts += 1
        self._hooks.restarted(RestartNotice(actor, self._gatherer_error))
        self._gatherer_error = _NO_WORD


def _left_s(deadline: float) -> float:
    return max(_LAST_MOMENT_S, deadline - time.monotonic())


def _host_has_left() -> bool:
    # The interpreter is about to exit and waits for nothing but us: the main thread has ended, and every other
    # thread that it would wait for.
    if threading.main_thread().is_alive():
        return False
    others = (thread for thread in threading.enumerate() if thread.is_alive() and not thread.daemon)
    return all(isinstance(thread, _WatchThread) for thread in others)
