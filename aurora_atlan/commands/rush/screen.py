"""Shows a rush while it runs: bars on a terminal, a line a second elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column

from aurora_atlan.commands.rush.service import Service
from aurora_atlan.commands.rush.tally import Tally, latencies

_BARS_EVERY_S = 0.25
_LINE_EVERY_S = 1.0
# Enough for a live figure; sorting all of a long rush four times a second would cost the rush.
_RECENT_MAX = 5_000


class Screen:
    """Where the rush is shown."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        """Print a line, however long."""
        self._console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a preparation that counts up to a total."""
        began_s = time.monotonic()
        if self._console.is_terminal:
            with self._bars(transient=True) as bars:
                task = bars.add_task(what, total=total, note="")
                yield lambda count: bars.advance(task, count)
        else:
            yield lambda _count: None
        self.say(f"{what}: {total:,} in {time.monotonic() - began_s:.1f} s")

    @asynccontextmanager
    async def watching(self, tally: Tally, service: Service) -> AsyncIterator[None]:
        """Show the rush for the duration of the block."""
        show = self._show_bars if self._console.is_terminal else self._show_lines
        showing = asyncio.create_task(show(tally, service))
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _show_bars(self, tally: Tally, service: Service) -> None:
        with self._bars(transient=False) as bars:
            accepted = bars.add_task("accepted", total=tally.attempts, note="")
            answered = bars.add_task("answered", total=tally.attempts, note="")
            try:
                while True:
                    _update(bars, accepted, answered, tally, service)
                    await asyncio.sleep(_BARS_EVERY_S)
            finally:
                _update(bars, accepted, answered, tally, service)

    async def _show_lines(self, tally: Tally, service: Service) -> None:
        while True:
            await asyncio.sleep(_LINE_EVERY_S)
            self.say(
                f"{tally.elapsed_s:5.1f} s  accepted {tally.accepted_count:,} of {tally.attempts:,}  "
                f"{_accepted(tally)}  |  {_answered(tally)}{_trouble(service)}"
            )

    def _bars(self, *, transient: bool) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self._console,
            transient=transient,
            auto_refresh=transient,
        )


def _update(bars: Progress, accepted: TaskID, answered: TaskID, tally: Tally, service: Service) -> None:
    bars.update(accepted, completed=tally.accepted_count, note=_accepted(tally) + _trouble(service))
    bars.update(answered, completed=tally.ended_count, note=_answered(tally))
    bars.refresh()


def _accepted(tally: Tally) -> str:
    return latencies(tally.accept_latencies_s[-_RECENT_MAX:], with_max=False)


def _answered(tally: Tally) -> str:
    pace = tally.ended_count / max(tally.elapsed_s, 0.001)
    others = f"  other {tally.other_count:,}" if tally.other_count else ""
    return (
        f"confirmed {tally.confirmed_count:,}  sold out {tally.sold_out_count:,}{others}  {pace:,.0f}/s  "
        f"{latencies(tally.answer_latencies_s[-_RECENT_MAX:], with_max=False)}"
    )


def _trouble(service: Service) -> str:
    if service.away_since_s is None:
        return ""
    return f"  waiting for the service: {time.monotonic() - service.away_since_s:.0f} s"
