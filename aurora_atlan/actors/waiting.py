"""How a caller waits for what others do for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aurora_atlan.actors.messages import Reply

T = TypeVar("T")


class Waiting:
    """Holds up the caller's thread; whoever answers many callers in one thread brings another way."""

    def reply(self) -> Reply:
        """Return a slot for an answer, which the caller will wait for."""
        return Reply()

    def aside(self, step: Callable[[], T], deadline: float | None = None) -> T:
        """Do something that blocks, and return what it returns, or raise what it raises.

        Raises TimeoutError when that takes until ``deadline``, a time of the monotonic clock; it may be done
        all the same. A step that keeps the deadline by itself may be waited for to its end.
        """
        return step()


IN_THREAD = Waiting()
