"""The queue as operators look at it and clean it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.finished_jobs import FinishedJobs
from aurora_atlan.persistence.queue_pages import Place, QueuePage, QueuePages

T = TypeVar("T")

_OUT_OF_REACH = "the queue is out of reach; try again"


class QueueDesk:
    """Answers from Redis; every method raises UnavailableError while it is away."""

    def __init__(self, switchboard: Switchboard, pages: QueuePages, finished: FinishedJobs) -> None:
        self._switchboard = switchboard
        self._pages = pages
        self._finished = finished

    def page(self, limit: int, after: Place | None = None, only_event: int | None = None) -> QueuePage:
        """Return up to ``limit`` undecided jobs; see :meth:`QueuePages.page`."""
        return self._ask(lambda: self._pages.page(limit, after, only_event))

    def clean(self, statuses: Collection[str], older_than_s: float, removed_max: int) -> int:
        """Have Redis forget finished jobs, and return how many; see :meth:`FinishedJobs.clean`.

        The ledger answers for them then. When Redis fails meanwhile some may have been removed.
        """
        return self._ask(lambda: self._finished.clean(statuses, older_than_s, removed_max))

    def _ask(self, ask: Callable[[], T]) -> T:
        if self._switchboard.redis.is_open:
            raise UnavailableError(_OUT_OF_REACH)
        try:
            return ask()
        except StoreError as error:
            self._switchboard.redis_failed(error)
            raise UnavailableError(_OUT_OF_REACH) from error
