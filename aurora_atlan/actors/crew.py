"""The crew: how each kind of actor is made and started."""

from __future__ import annotations

from collections.abc import Callable

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import EventCell
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.commit import Committing
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.actors.supervised import Ref
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.actors.threads import Threads
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.jobs import JobStore

Died = Callable[[BaseException | None], None]


class Crew:
    """Starts actors over the stores that they share; whoever starts one is told of its death."""

    def __init__(
        self,
        settings: Settings,
        switchboard: Switchboard,
        *,
        accepting_jobs: JobStore,
        patient_jobs: JobStore,
        committing: Committing,
        bookings: BookingStore,
    ) -> None:
        self._settings = settings
        self._switchboard = switchboard
        self._accepting_jobs = accepting_jobs
        self._patient_jobs = patient_jobs
        self._committing = committing
        self._bookings = bookings
        # Where there are more events than actors, they come and go all the time.
        self._threads = Threads("aurora-event")

    def start_booking_actor(
        self, cell: EventCell, generation: int, died: Callable[[EventCell, int, BaseException | None], None]
    ) -> Ref:
        """Start an event's actor; raises RuntimeError when no thread is to be had."""
        return BookingActor.start_hidden(
            cell,
            generation,
            self._switchboard,
            self._patient_jobs,
            self._settings.batch_max,
            died,
            threads=self._threads,
        )

    def dismiss(self, deadline: float) -> None:
        """Wait for the threads of the events' actors, all of which are told to stop, until ``deadline``."""
        self._threads.close(deadline)

    def start_journal(self, cells: Cells, died: Died) -> Ref:
        """Start the journal."""
        return JournalActor.start_hidden(self._switchboard, self._accepting_jobs, cells.announce, died)

    def start_committer(self, died: Died, *, patient: bool) -> Ref:
        """Start the committer, or the patient one."""
        return CommitterActor.start_hidden(
            self._switchboard,
            self._committing,
            self._bookings,
            self._patient_jobs,
            died,
            jobs_max=self._settings.transaction_jobs_max,
            patient=patient,
        )
