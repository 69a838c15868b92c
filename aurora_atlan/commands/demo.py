"""A few events to try the service with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aurora_atlan.persistence.events import EventStore, NewEvent

_DEMO = (
    ("Aurora over the fjord", "Open-air stage, Tromso", 30, 500),
    ("An evening with a string quartet", "Chamber hall, Vienna", 45, 80),
    ("The last two seats", "Jazz cellar, Ghent", 14, 2),
)


def create_demo_events(events: EventStore) -> int:
    """Create the demonstration's events where there are none yet; return how many were created."""
    if events.page(limit=1, after_id=None):
        return 0
    evening = datetime.now(UTC).replace(hour=19, minute=0, second=0, microsecond=0)
    for name, venue, days, capacity in _DEMO:
        events.create(NewEvent(name=name, venue=venue, time=evening + timedelta(days=days), capacity=capacity))
    return len(_DEMO)
