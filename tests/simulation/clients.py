"""Clients: they book, ask, withdraw, cancel, and operators pause and edit; what they are told is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from aurora_atlan.actors.errors import (
    BookingError,
    CapacityBelowSoldError,
    EventQuarantinedError,
    TooManyInFlightError,
    UnavailableError,
)
from aurora_atlan.actors.messages import BookTickets, JobState
from aurora_atlan.persistence.errors import StoreError
from simulation.process import Process, Strand

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.world import World

_OPEN_MAX = 4


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that a client holds a receipt for."""

    job_id: UUID
    event_id: int
    user_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Told:
    """A final answer that a client was given."""

    job_id: UUID
    completed: bool
    reason: str | None


class Clients:
    """All clients of all processes."""

    def __init__(self, world: World, events: list[int]) -> None:
        self._world = world
        self._events = events
        self._left = world.chance.randint(8, 55)
        self.accepted: dict[UUID, Accepted] = {}
        self.told: list[Told] = []
        self.withdrawn: list[UUID] = []
        self.cancelled: list[int] = []
        # Paused as an operator was told, until a resume is asked for.
        self.paused: set[int] = set()
        self._resuming: list[int] = []
        self._open = 0
        self._fresh_user = 1_000
        self._actions: list[Callable[[Process], None]] = [
            *[self._book] * 12,
            *[self._ask] * 3,
            self._withdraw,
            self._withdraw,
            self._cancel,
            self._cancel,
            self._set_capacity,
            self._pause,
            self._resume,
        ]

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return self._open > 0

    def act(self) -> bool:
        """Do one thing, if there is anything left to do."""
        world = self._world
        if self._left <= 0 or self._open >= _OPEN_MAX or not world.faults_on:
            return False
        process = self._somewhere()
        if process is None:
            return False
        self._left -= 1
        self._do(process, world.chance.choice(self._actions))
        return True

    def resume_all(self) -> None:
        """Resume whatever is paused."""
        process = self._somewhere()
        assert process is not None
        for event_id in self._events:
            self._do(process, lambda at, event_id=event_id: self._resume_event(at, event_id))  # type: ignore[misc]

    def one_more_for_everybody(self) -> None:
        """Book once more for each event through each process: nobody is left in a state that only looks quiet."""
        for process in self._world.processes:
            for event_id in self._events if process.alive else ():
                self._fresh_user += 1
                before = len(self.accepted)
                user_id = self._fresh_user
                self._do(process, lambda at, event_id=event_id: self._submit(at, event_id, user_id, 1, None))  # type: ignore[misc]  # noqa: B023
                if len(self.accepted) == before:
                    self._world.violated(
                        "I7", f"in peace a booking of event {event_id} through {process.name} is refused"
                    )

    def _somewhere(self) -> Process | None:
        now = self._world.clock.now
        there = [process for process in self._world.processes if process.alive and now >= process.frozen_until]
        return self._world.chance.choice(there) if there else None

    def _do(self, process: Process, action: Callable[[Process], None]) -> None:
        def act() -> None:
            try:
                action(process)
            except (BookingError, StoreError) as error:
                self._world.note(f"is told {type(error).__name__}: {error}")
                self._note_refusal(error)
            finally:
                self._open -= 1

        self._open += 1
        self._world.run(Strand(process, "client", act))

    def _note_refusal(self, error: Exception) -> None:
        if isinstance(error, EventQuarantinedError):
            self._world.reached("a booking refused in quarantine")
        elif isinstance(error, UnavailableError):
            self._world.reached("a 503")
        elif isinstance(error, TooManyInFlightError):
            self._world.reached("a 429")

    def _book(self, process: Process) -> None:
        world, chance = self._world, self._world.chance
        users = [*range(1, 10), *world.unrecordable_users, *world.undecidable_users]
        key = f"key-{world.below(3)}" if chance.random() < 0.25 else None
        quantity = chance.choice((1, 1, 1, 2, 3)) if key is None else 1
        self._submit(process, chance.choice(self._events), chance.choice(users), quantity, key)

    def _submit(self, process: Process, event_id: int, user_id: int, quantity: int, key: str | None) -> None:
        self._world.note(f"books {quantity} of event {event_id} for user {user_id}, key {key}")
        receipt = process.supervisor.submit(BookTickets(event_id, user_id, quantity, key))
        self._world.note(f"holds a receipt for {self._world.label(receipt.job_id)}")
        self.accepted[receipt.job_id] = Accepted(receipt.job_id, event_id, user_id, quantity)

    def _ask(self, process: Process) -> None:
        job_id = self._some_job()
        status = process.supervisor.status(job_id) if job_id else None
        if job_id and status is not None and status.status in (JobState.COMPLETED, JobState.FAILED):
            self.told.append(Told(job_id, status.status is JobState.COMPLETED, status.reason))

    def _withdraw(self, process: Process) -> None:
        job_id = self._some_job()
        if job_id:
            self._world.note(f"withdraws {self._world.label(job_id)}")
            process.supervisor.withdraw(job_id)
            self.withdrawn.append(job_id)
            self._world.reached("a withdrawal")

    def _cancel(self, process: Process) -> None:
        bookings = list(self._world.postgres.tables.bookings)
        if bookings:
            booking_id = self._world.chance.choice(bookings)
            self._world.note(f"cancels booking {booking_id}")
            process.supervisor.cancel(booking_id)
            self.cancelled.append(booking_id)
            self._world.reached("a cancellation")

    def _set_capacity(self, process: Process) -> None:
        event_id = self._world.chance.choice(self._events)
        try:
            process.supervisor.set_capacity(event_id, self._world.chance.randint(0, 14))
        except CapacityBelowSoldError:
            return
        self._world.note(f"sets the capacity of event {event_id}")

    def _pause(self, process: Process) -> None:
        event_id = self._world.chance.choice(self._events)
        process.supervisor.pause(event_id)
        self._world.note(f"has paused event {event_id}")
        if event_id not in self._resuming:
            self.paused.add(event_id)

    def _resume(self, process: Process) -> None:
        self._resume_event(process, self._world.chance.choice(self._events))

    def _resume_event(self, process: Process, event_id: int) -> None:
        # From the moment it is asked for until it is done, nobody can say which holds.
        self.paused.discard(event_id)
        self._resuming.append(event_id)
        self._world.note(f"resumes event {event_id}")
        try:
            process.supervisor.resume(event_id)
        finally:
            self._resuming.remove(event_id)

    def _some_job(self) -> UUID | None:
        return self._world.chance.choice(list(self.accepted)) if self.accepted else None
