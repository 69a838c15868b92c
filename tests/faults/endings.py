"""Ways for an actor to end of which Pykka says nothing, or says too much."""

from __future__ import annotations

import time
from typing import Any

import pykka
from pykka._envelope import Envelope

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.messages import Flush, Rescan
from aurora_atlan.supervisor import Supervisor


class Ending:
    """Ends the actor of one event in a way of its own, and knows when it did."""

    def __init__(self) -> None:
        self.event = 0
        self.ended_at = 0.0
        self.generation = 0
        # Starts of the event's actor that are to fail.
        self.failing_starts = 0

    def before(self, actor: BookingActor, message: Any) -> None:
        """Look at a message before the actor does."""

    def start(self, actor: BookingActor) -> None:
        """Look at an actor that starts."""
        if actor._cell.event_id == self.event and self.failing_starts:
            self.failing_starts -= 1
            self._note(actor)
            raise (OSError if self.failing_starts % 2 else SystemExit)("as the row wants")

    def end(self, supervisor: Supervisor, event: int) -> None:
        """End the event's actor, now or at its next message."""
        self.ended_at = 0.0
        self.event = event

    def _note(self, actor: BookingActor) -> None:
        self.generation = actor._generation
        self.ended_at = time.monotonic()
        if not self.failing_starts:
            self.event = 0


class ByExit(Ending):
    """SystemExit in a handler."""

    def before(self, actor: BookingActor, message: Any) -> None:
        """Exit at the first flush."""
        if isinstance(message, Flush) and actor._cell.event_id == self.event:
            self._note(actor)
            raise SystemExit("as the row wants")


class ByStart(Ending):
    """A start that fails, with an error or SystemExit; now and then so often that the event is quarantined."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = 0

    def before(self, actor: BookingActor, message: Any) -> None:
        """Crash, so that there is a start to fail."""
        if isinstance(message, Flush) and actor._cell.event_id == self.event:
            raise ValueError("as the row wants")

    def end(self, supervisor: Supervisor, event: int) -> None:
        """End the actor, and let its successors fail."""
        super().end(supervisor, event)
        self._turns += 1
        self.failing_starts = 6 if self._turns == 3 else 1


class ByZombie(Ending):
    """A thread that ends while its actor calls itself alive: the loop dies in its own error handling."""

    def before(self, actor: BookingActor, message: Any) -> None:
        """End the thread behind Pykka's back."""
        if isinstance(message, Flush) and actor._cell.event_id == self.event:
            actor._handle_failure = _broken_loop  # type: ignore[assignment,method-assign]
            self._note(actor)
            raise ValueError("as the row wants")


class ByDoubleReply(Ending):
    """A message that is answered twice, which ends the thread and leaves a zombie."""

    def end(self, supervisor: Supervisor, event: int) -> None:
        """Ask the actor something that is answered already."""
        cell = supervisor._cells.get(event)
        assert cell is not None
        ref, self.generation = cell.ref, cell.generation
        if ref is not None:
            answered: pykka.ThreadingFuture[str] = pykka.ThreadingFuture()
            answered.set("the first answer")
            self.ended_at = time.monotonic()
            ref.actor_inbox.put(Envelope(Rescan(), reply_to=answered))


class _BrokenLoopError(Exception):
    """Ends an actor's thread."""


def _broken_loop(*_: Any) -> None:
    raise _BrokenLoopError("the loop itself fails")
