"""A program of Pykka actors, in the manner of Mopidy, with a frontend that hears of every outcome.

    DATABASE_URL=postgresql://... REDIS_URL=redis://... python pykka_host.py

The supervisor's actors are none of the host's: its registry does not list them, its broadcasts do not reach them,
and its ActorRegistry.stop_all() passes them by.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pykka

from aurora_atlan import BookTickets, Event, NewEvent, OutcomeNotice, Settings, Supervisor

SEATS = 3
GUESTS = 5


class Frontend(pykka.ThreadingActor):
    """Keeps the list at the door: who is in, who is not, as the outcomes come."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[int, int] = {}
        self._lines: list[str] = []

    def hear(self, notice: OutcomeNotice) -> None:
        """Take in one outcome. They come in the ledger's order, and after a crash some come again."""
        if notice.entry_number <= self._heard.get(notice.event_id, 0):
            return
        self._heard[notice.event_id] = notice.entry_number
        self._lines.append(f"guest {notice.user_id}: {notice.reason or notice.kind}")

    def lines(self) -> list[str]:
        """Return the list as it stands."""
        return list(self._lines)


class Core(pykka.ThreadingActor):
    """The host's own business: it sells, among whatever else it does."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__()
        self._supervisor = supervisor

    def sell(self) -> Event:
        """Put a show on sale, with more guests than seats, and return it when all have their answers."""
        doors = datetime.now(UTC) + timedelta(days=30)
        event = self._supervisor.create_event(NewEvent("Night of lights", "Harbour", doors, capacity=SEATS))
        guests = [self._supervisor.create_user(f"Guest {n}", f"{uuid4()}@example.org") for n in range(1, GUESTS + 1)]
        receipts = [self._supervisor.submit(BookTickets(event.id, guest.id)) for guest in guests]
        for receipt in receipts:
            self._supervisor.wait(receipt, timeout=30)
        return event


def main() -> None:
    """Start the actors and the supervisor, sell, and stop everything in reverse."""
    frontend = Frontend.start().proxy()

    def tell_frontend(notice: OutcomeNotice) -> None:
        # Called by a thread of the supervisor's. Once it returns, this outcome counts as told.
        frontend.hear(notice).get(timeout=5)

    with Supervisor(Settings.from_env(), on_outcome=tell_frontend) as supervisor:
        while not supervisor.health().ready:
            time.sleep(0.05)
        core = Core.start(supervisor).proxy()
        core.sell().get(timeout=60)
        # Waiters hear of an outcome first; the relay tells the hook a moment later.
        while len(lines := frontend.lines().get(timeout=5)) < GUESTS:
            time.sleep(0.05)
        print("\n".join(lines))

        # What Mopidy does at its end. It stops the host's actors, and none of the supervisor's.
        pykka.ActorRegistry.stop_all()
        print("The supervisor goes on." if supervisor.health().ready else "The supervisor was stopped, too.")


if __name__ == "__main__":
    main()
