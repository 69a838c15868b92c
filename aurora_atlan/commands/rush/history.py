"""What happened in a rush, as its buyers saw it: recorded while it runs, judged afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Buyer:
    """Somebody who wants one ticket."""

    user_id: int
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a 202 promised."""

    job_id: str
    queue_number: int
    queue_position: int
    status_endpoint: str
    durability: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A job's final answer; two that are equal say the same."""

    # "completed" or "failed"
    status: str
    reason: str | None
    job_id: str
    event_id: int | None
    user_id: int | None
    quantity: int | None
    queue_number: int | None
    booking_id: int | None
    booking_status: str | None

    @property
    def confirmed(self) -> bool:
        """Whether the buyer has the ticket."""
        return self.status == "completed"

    @property
    def sold_out(self) -> bool:
        """Whether there was no ticket left."""
        return self.status == "failed" and self.reason == "sold_out"

    def __str__(self) -> str:
        booking = "" if self.booking_id is None else f", booking {self.booking_id} {self.booking_status}"
        return f"{self.status}{f' ({self.reason})' if self.reason else ''}{booking}"


@dataclass(slots=True)
class Attempt:
    """One buyer's attempt; times in seconds on the rush's own clock."""

    event_id: int
    user_id: int
    # The first request's start, the 202's arrival, the final answer's arrival.
    sent_s: float = 0.0
    accepted_s: float = 0.0
    answered_s: float = 0.0
    # From acceptance to decision, by the service's own clocks.
    decided_after_s: float | None = None
    # More than one only if the service broke its word: repeating a request must repeat its receipt.
    receipts: list[Receipt] = field(default_factory=list)
    # Job ids that came with a 503: the attempt may have been accepted under them.
    possible_job_ids: set[str] = field(default_factory=set)
    # The first final answer, and the one given when asked again at the end.
    answers: list[Answer] = field(default_factory=list)
    # Positions in the queue as they were told, the lowest so far.
    lowest_position: int | None = None
    # What went wrong for this buyer, in one sentence each.
    complaints: list[str] = field(default_factory=list)

    @property
    def receipt(self) -> Receipt | None:
        """The first receipt."""
        return self.receipts[0] if self.receipts else None

    @property
    def answer(self) -> Answer | None:
        """The first final answer."""
        return self.answers[0] if self.answers else None

    @property
    def confirmed(self) -> bool:
        """Whether the buyer was told to have the ticket."""
        return self.answer is not None and self.answer.confirmed

    @property
    def sold_out(self) -> bool:
        """Whether the buyer was told that there was none left."""
        return self.answer is not None and self.answer.sold_out

    def tell_position(self, position: int) -> None:
        """Note a position that the service told; it may only fall."""
        if self.lowest_position is not None and position > self.lowest_position:
            self.complaints.append(f"was told position {position} after position {self.lowest_position}")
        self.lowest_position = position


@dataclass(frozen=True, slots=True)
class SoldEvent:
    """An event of the rush, and what the service said of it afterwards."""

    event_id: int
    capacity: int
    booked: int | None = None

    def __str__(self) -> str:
        return f"event {self.event_id}"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the audit of an event's rows gave."""

    event_id: int
    entries: int
    seats_booked: int
    confirmed: int
    refused: int
    queue_restarts: int
    violations: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A rush that is over."""

    events: Sequence[SoldEvent]
    attempts: Sequence[Attempt]
    # None where the database was out of reach.
    proofs: Sequence[Proof] | None = None
    # What kept the rush from coming to its end, in a sentence each.
    incidents: Sequence[str] = ()
