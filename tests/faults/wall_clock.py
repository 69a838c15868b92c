"""The clock on the wall, as the service sees it, moved."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from time import time as wall_clock
from time import time_ns as wall_clock_ns
from typing import Any
from unittest import mock


class WallClock:
    """This process's wall clock as the service sees it, shifted."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def time(self) -> float:
        """Stand in for ``time.time``."""
        return wall_clock() + self.shift_s

    def time_ns(self) -> int:
        """Stand in for ``time.time_ns``."""
        return wall_clock_ns() + round(self.shift_s * 1e9)

    def patches(self) -> Iterator[Any]:
        """Give what puts this clock in the place of the real one."""
        clock = self

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.now(tz) + timedelta(seconds=clock.shift_s)

        yield mock.patch.object(time, "time", self.time)
        yield mock.patch.object(time, "time_ns", self.time_ns)
        for name, module in list(sys.modules.items()):
            if name.startswith("aurora_atlan.") and getattr(module, "datetime", None) is datetime:
                yield mock.patch.object(module, "datetime", Shifted)
