"""SIGTERM, SIGINT and SIGHUP for a command that runs until it is told to stop."""

from __future__ import annotations

import queue
import signal
from types import FrameType, TracebackType
from typing import Any, Self

# The hang-up comes when the terminal is closed; nohup ignores it, and so do we then.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ForcedStop(KeyboardInterrupt):
    """A second signal: stop at once. Raised in the main thread, wherever it is."""


class StopSignals:
    """Takes the signals while its block runs, in the main thread; the first asks, the second forces."""

    def __init__(self) -> None:
        # Its put() may run in a signal handler amid its own get(): an Event would deadlock.
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal has arrived."""
        return self._asked

    def wait(self, timeout_s: float) -> bool:
        """Wait for a signal; return whether one has arrived, now or before."""
        if not self._asked:
            try:
                self._arrived.get(timeout=timeout_s)
            except queue.Empty:
                return False
        return True

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            # What must be ended still, is ended quickly; a third signal must not break that off.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            raise ForcedStop
        self._asked = True
        self._arrived.put(0)
