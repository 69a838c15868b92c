"""Sell an event to more people than there are seats, and prove that it went right.

DATABASE_URL=postgresql://... REDIS_URL=redis://... python sell_out.py

Exits with 0 when every seat was sold once, and the audit, which recomputes all of it from the rows, is clean.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aurora_atlan import BookTickets, JobState, JobStatus, NewEvent, Reason, Settings, Supervisor

SEATS = 40
BUYERS = 100


def main() -> int:
    """Sell out, and return the exit code."""
    # Entering the block starts the supervisor's threads, leaving it stops them.
    with Supervisor(Settings.from_env()) as supervisor:
        # Starting waits for nobody: the stores are connected to, and the schema is made, in the background.
        while not supervisor.health().ready:
            time.sleep(0.05)

        doors = datetime.now(UTC) + timedelta(days=30)
        event = supervisor.create_event(NewEvent("Night of lights", "Harbour", doors, capacity=SEATS))
        buyers = [supervisor.create_user(f"Buyer {n}", f"{uuid4()}@example.org") for n in range(1, BUYERS + 1)]

        def book(user_id: int) -> JobStatus:
            # The receipt says that the attempt has its place in the queue; the status, what became of it.
            receipt = supervisor.submit(BookTickets(event.id, user_id))
            return supervisor.wait(receipt, timeout=30)

        with ThreadPoolExecutor(max_workers=16) as crowd:
            answers = list(crowd.map(book, [buyer.id for buyer in buyers]))

        audit = supervisor.audit(event.id)

    outcomes = Counter(answer.reason or answer.status for answer in answers)
    sold, refused = outcomes[JobState.COMPLETED], outcomes[Reason.SOLD_OUT]
    print(f"{sold} of {BUYERS} got one of the {SEATS} seats, {refused} came too late.")
    print("The audit is clean." if audit.ok else "The audit found violations.")
    return 0 if sold == SEATS and audit.ok else 1


if __name__ == "__main__":
    sys.exit(main())
