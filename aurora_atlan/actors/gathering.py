"""The gathering pattern: collect what arrives while the last round trip is under way, then do one for all.

Batches form by themselves under load; nothing ever waits for one to fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from aurora_atlan.actors.messages import Flush
from aurora_atlan.actors.supervised import SupervisedActor

M = TypeVar("M")

# The one that the actor tells itself.
_FLUSH = Flush()


class Gatherer(SupervisedActor, Generic[M]):
    """An actor that handles its messages of type ``gathers`` together.

    The first of them makes it tell itself to flush. That message queues behind everything that has
    arrived by then, so the flush finds all of it gathered.
    """

    gathers: type[M]

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[M] = []
        self._flush_told = False

    def handle(self, message: Any) -> None:
        """Gather, or flush."""
        if isinstance(message, self.gathers):
            self.waiting.append(message)
            self.flush_soon()
        elif message is _FLUSH:
            self._flush_told = False
            gathered, self.waiting = self.waiting, []
            self.round_trip(gathered)
        elif isinstance(message, Flush):
            # Somebody else's. Taken for our own there would be one more under way, for as long as messages come: each
            # would find a part of what waits, and the rest in the inbox.
            self.flush_soon()
        else:
            self.ignore(message)

    def flush_soon(self) -> None:
        """Flush once everything that has arrived is gathered."""
        if not self._flush_told:
            self._flush_told = True
            self.actor_ref.tell(_FLUSH)

    def round_trip(self, gathered: Sequence[M]) -> None:
        """Do one round trip for all of these; called with an empty sequence after a bare Flush."""
        raise NotImplementedError
