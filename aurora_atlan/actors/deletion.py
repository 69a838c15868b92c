"""Deleting events: they are marked as gone, and nothing is erased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aurora_atlan.actors.errors import EventInUseError, UnavailableError
from aurora_atlan.actors.gate import given_back, locked, retried
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.inventory import Change, encode

# Bookings cancelled in one transaction, which stays far below its time limits.
_BATCH_MAX = 500


class Deletion:
    """Marks events as gone, and with force cancels their bookings, in the caller's thread.

    ``queued`` returns how many jobs wait for an event, None while nobody knows. ``close_queue`` lets no new ones
    in; it may fail, for they would be refused at their turn.
    """

    def __init__(
        self,
        bookings: BookingStore,
        queued: Callable[[int], int | None],
        close_queue: Callable[[int], object],
    ) -> None:
        self._bookings = bookings
        self._queued = queued
        self._close_queue = close_queue

    def delete(self, event_id: int, *, force: bool = False, deed: Deed | None = None) -> int:
        """Delete an event; return how many bookings this call cancelled.

        Without ``force`` only an event without sold tickets and waiting jobs. With it, the event is gone first, its
        confirmed bookings are cancelled then, and jobs that wait are answered ``event_gone`` at their turn. If it is
        interrupted, calling it again goes on. Deleting what is gone changes nothing. The ``deed`` is noted in the
        audit log together with what it met.

        Raises UnknownEventError, EventInUseError, UnavailableError.
        """
        queued = self._queued(event_id)
        retried(lambda: self._mark(event_id, queued, deed, force=force))
        self._close_queue(event_id)
        cancelled = 0
        more = force
        while more:
            count = retried(lambda: self._cancel_some(event_id))
            cancelled += count
            # Nobody books what is gone: there are only ever fewer.
            more = count == _BATCH_MAX
        return cancelled

    def _mark(self, event_id: int, queued: int | None, deed: Deed | None, *, force: bool) -> None:
        with self._bookings.unit_of_work() as work:
            inventory = locked(work, event_id)
            sold, gone = inventory.sold, inventory.gone
            if gone and not sold:
                return
            if not force:
                if queued is None:
                    raise UnavailableError("the booking queue is out of reach, and bookings may wait in it; try again")
                if sold or queued:
                    raise EventInUseError("tickets of the event are sold, or bookings wait", sold, queued)
            if not gone:
                work.record([encode(Change(inventory._replace(gone=True), []), work.read([], 0).now)])
            if deed is not None:
                before = {"gone": gone, "confirmed": sold, "queued": queued}
                work.note(replace(deed, before=before, after={"gone": True, "force": force}))

    def _cancel_some(self, event_id: int) -> int:
        with self._bookings.unit_of_work() as work:
            inventory = locked(work, event_id)
            at = work.read([], 0).now
            bookings = work.cancel_some(event_id, _BATCH_MAX, at)
            sold = inventory.sold
            entries = []
            for booking in bookings:
                sold -= booking.quantity
                entries.append(given_back(booking, sold, inventory.capacity))
            if entries:
                work.record([encode(Change(inventory._replace(sold=sold), entries), at)])
            return len(bookings)
