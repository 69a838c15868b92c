"""Everything that is measured, in the order of one round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import baselines, booking, embedding, growth, latency, plan, reading, sellout
from benchmarks.results import Sample
from benchmarks.world import World


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name for the command line, a title for people, and what measures it once."""

    name: str
    title: str
    # by which several are chosen at once
    group: str
    measure: Callable[[World], Sample]
    # measured before this one, which takes its measure from it
    after: str | None = None
    # nothing varies: one round is enough
    once: bool = False


def _waiting(count: int) -> Scenario:
    title = f"Accept for a paused event with {count:,} waiting"
    return Scenario(f"waiting-{count}", title, "growth", partial(growth.accept_behind, waiting=count))


# What is compared stands side by side: a machine varies more from minute to minute than from one load to the next.
SERVED = (
    Scenario("limited", "Book one hot event with rate limits on", "switches", booking.book_limited),
    Scenario("usual", "Book one hot event with neither, in a like database", "switches", booking.book_usual),
    Scenario("unmeasured", "Book one hot event with metrics off", "switches", booking.book_unmeasured),
    Scenario("everysec", "Book one hot event, appendfsync everysec", "durability", booking.book_everysec),
    Scenario("hot", "Book one hot event", "booking", booking.book_hot),
    Scenario("bare", "Baseline: bare Falcon, waitress and PyJWT", "baselines", baselines.bare),
    Scenario("many", "Book 64 events", "booking", booking.book_many),
    Scenario("zipf", "Book 1,000 events by Zipf's law", "booking", booking.book_zipf),
    Scenario("rowlock-many", "Baseline: a row lock per request, 64 events", "baselines", baselines.row_lock_many),
    Scenario("rowlock-hot", "Baseline: a row lock per request, one hot event", "baselines", baselines.row_lock_hot),
    Scenario(
        "bare-untuned", "Baseline: the same without SCHED_BATCH and gc.freeze", "baselines", baselines.bare_untuned
    ),
    Scenario("half", "Book one hot event at half of that rate", "latency", latency.half_of_saturation, after="hot"),
    Scenario("sellout", "Sell 500 seats to 5,000 buyers", "sellout", sellout.sell_out),
    Scenario("list", "List 100 events", "reads", reading.list_events),
    Scenario("bare-read", "Baseline: bare Falcon and waitress, a GET", "reads", reading.bare),
    Scenario("event", "Show one event", "reads", reading.show_event),
    Scenario("engine-hot", "Engine without HTTP, one hot event", "engine", embedding.decide_hot),
    Scenario("engine-many", "Engine without HTTP, 64 events", "engine", embedding.decide_many),
    Scenario("one-by-one", "Baseline: one commit per booking, one connection", "engine", embedding.one_by_one),
)

# With processes of their own, after the others have ended.
GROWING = (
    *(_waiting(count) for count in plan.WAITING),
    Scenario("memory", "Memory with 10,000 events and 100,000 waiting", "growth", growth.memory, once=True),
    Scenario("ledger-0", "Engine without HTTP, nothing in the ledger", "growth", growth.decide_empty),
    Scenario("ledger-1m", "Engine without HTTP, 1,000,000 bookings in the ledger", "growth", growth.decide_grown),
)

EVERYTHING = (*SERVED, *GROWING)


def chosen(names: Sequence[str]) -> frozenset[str]:
    """Return the names of the scenarios chosen by their own names or groups, and of those that these need.

    Raises ValueError for a name that is neither.
    """
    found: set[str] = set()
    for name in names:
        matching = {each.name for each in EVERYTHING if name == each.name} or {
            each.name for each in EVERYTHING if name == each.group
        }
        if not matching:
            raise ValueError(name)
        found |= matching
    found |= {each.after for each in EVERYTHING if each.name in found and each.after is not None}
    return frozenset(found)
