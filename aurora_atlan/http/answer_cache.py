"""Answers kept for a moment: however many ask the same at once, the store is asked once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from aurora_atlan.persistence.errors import StoreTimeoutError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[V]):
    answer: V
    # Before the store was asked, on the cache's clock: what it told may be as old as that.
    asked_at: float


@dataclass(frozen=True, slots=True, eq=False)
class _Read(Generic[V]):
    """A question that is on its way to the store."""

    asked_at: float
    outcome: Future[V | None] = field(default_factory=Future)


def _new(_: object) -> float:
    return 0.0


class AnswerCache(Generic[K, V]):
    """Keeps up to ``entries_max`` answers, each until ``max_age_s`` after its store was asked for it.

    ``age_s`` tells how old an answer was already when it was asked for; usually it is new.

    Use it in two steps, so that what is found costs one look into a dict and no lock: :meth:`get`, then, if that
    is None, :meth:`load`. Thread-safe. Times are those of ``clock``, in seconds.
    """

    def __init__(
        self,
        *,
        max_age_s: float,
        entries_max: int,
        wait_max_s: float,
        age_s: Callable[[V], float] = _new,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_age_s = max_age_s
        self._entries_max = entries_max
        self._wait_max_s = wait_max_s
        self._age_s = age_s
        self._clock = clock
        # Guards changes of both; get() reads _kept without it.
        self._lock = threading.Lock()
        # In the order of reading. What is in use is read again at least every max_age_s, so the first ones are
        # also those that nobody asked for lately.
        self._kept: dict[K, _Kept[V]] = {}
        self._reads: dict[K, _Read[V]] = {}

    def get(self, key: K) -> V | None:
        """Return the answer that is kept, None when there is none or it is too old."""
        kept = self._kept.get(key)
        if kept is None or self._clock() - kept.asked_at >= self._max_age_s:
            return None
        return kept.answer

    def load(self, key: K, ask: Callable[[], V | None]) -> V | None:
        """Return what ``ask`` returns, or what somebody else's ``ask`` for the same key is about to return.

        Everybody who waited gets the same answer, also when it is an error; errors and None are not kept.
        Waiting for somebody else ends after ``wait_max_s`` with :class:`StoreTimeoutError`.
        """
        with self._lock:
            kept = self.get(key)
            if kept is not None:
                return kept
            read, joined = self._join(key)
        return self._wait(read) if joined else self._ask(key, read, ask)

    def forget(self, key: K) -> None:
        """Give this answer to nobody who asks from now on, even if it is still being read."""
        with self._lock:
            self._kept.pop(key, None)
            self._reads.pop(key, None)

    def forget_all(self) -> None:
        """Forget every answer, like :meth:`forget`."""
        with self._lock:
            self._kept.clear()
            self._reads.clear()

    def _join(self, key: K) -> tuple[_Read[V], bool]:
        """Return the read to wait for and True, or one to do oneself and False. The lock is held."""
        now = self._clock()
        under_way = self._reads.get(key)
        # An older one may tell what was true longer ago than may be told to somebody who comes now.
        if under_way is not None and now - under_way.asked_at < self._max_age_s:
            return under_way, True
        read: _Read[V] = _Read(now)
        self._reads[key] = read
        return read, False

    def _wait(self, read: _Read[V]) -> V | None:
        try:
            return read.outcome.result(self._wait_max_s)
        except TimeoutError:
            raise StoreTimeoutError(f"nobody had the answer within {self._wait_max_s:g} s") from None

    def _ask(self, key: K, read: _Read[V], ask: Callable[[], V | None]) -> V | None:
        try:
            answer = ask()
        except BaseException as error:
            self._end(key, read, None)
            # Whatever it was: those who wait must not wait for nothing.
            read.outcome.set_exception(error)
            raise
        self._end(key, read, answer)
        read.outcome.set_result(answer)
        return answer

    def _end(self, key: K, read: _Read[V], answer: V | None) -> None:
        with self._lock:
            if self._reads.get(key) is not read:
                # Forgotten meanwhile, or overtaken by a later one: it tells of a time before that.
                return
            del self._reads[key]
            self._kept.pop(key, None)
            if answer is None:
                return
            self._kept[key] = _Kept(answer, read.asked_at - self._age_s(answer))
            if len(self._kept) > self._entries_max:
                del self._kept[next(iter(self._kept))]
