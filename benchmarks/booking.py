"""Booking over HTTP: from wrk's requests to what the ledger says of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from benchmarks import plan
from benchmarks.installation import Installation
from benchmarks.judging import figures, judge
from benchmarks.results import MeasurementError, Sample
from benchmarks.world import LIMITED, UNMEASURED, USUAL, World


def book_hot(world: World) -> Sample:
    """Book one event."""
    return book(world, world.main.make_events(1, plan.CAPACITY))


def book_many(world: World) -> Sample:
    """Book some events in turns."""
    return book(world, world.main.make_events(plan.EVENTS_MANY, plan.CAPACITY))


def book_zipf(world: World) -> Sample:
    """Book many events, the n-th most popular one with a probability proportional to 1/n."""
    events = world.main.make_events(plan.EVENTS_ZIPF, plan.CAPACITY)
    chance = random.Random(events[0])
    weights = [1 / rank for rank in range(1, len(events) + 1)]
    return book(world, events, chance.choices(events, weights, k=world.crowd.count))


def book_everysec(world: World) -> Sample:
    """Book one event while Redis syncs its file but once a second."""
    world.stores.set_appendfsync("everysec")
    try:
        return book_hot(world)
    finally:
        world.stores.set_appendfsync("always")


def book_limited(world: World) -> Sample:
    """Book one event while attempts are counted by user and by address; the one address may ask without end."""
    environ = {"AURORA_RATE_LIMITS": "on", "AURORA_RATE_LIMIT_BOOKING_IP": "10000000/second"}
    return _book_hot_of(world, world.installation(LIMITED, environ=environ))


def book_usual(world: World) -> Sample:
    """Book one event with neither changed, in a database that has seen as much as those of the other two."""
    return _book_hot_of(world, world.installation(USUAL))


def book_unmeasured(world: World) -> Sample:
    """Book one event without metrics."""
    return _book_hot_of(world, world.installation(UNMEASURED, environ={"AURORA_METRICS": "false"}))


def _book_hot_of(world: World, installation: Installation) -> Sample:
    return book(world, installation.make_events(1, plan.CAPACITY), installation=installation)


def book(
    world: World,
    events: list[int],
    turns: Sequence[int] | None = None,
    *,
    installation: Installation | None = None,
    rate: float = 0.0,
    beside: Callable[[], int] | None = None,
) -> Sample:
    """Load the service with bookings of these events, and wait for every answer.

    ``turns`` gives the events in the order in which they are asked for, ``rate`` the requests per second (0: as
    fast as answers come), ``installation`` another one than the main. ``beside`` is done meanwhile, and returns how
    many bookings it made itself.
    """
    booked = installation or world.main
    service = world.service(booked)
    with (
        world.meter.over(service.pid) as shares,
        world.book(service, turns or events, seconds=world.plan.seconds, rate=rate) as load,
    ):
        booked_beside = beside() if beside is not None else 0
        answers = load.answers()
    booked.wait_idle()
    decisions = booked.decisions(events)
    if not decisions.decided_in_s:
        raise MeasurementError(f"{decisions.decided} bookings were decided")
    booked.settle()
    judge(world, answers, shares, decisions.decided - booked_beside)
    world.check(
        decisions.confirmed == decisions.decided,
        f"{decisions.decided - decisions.confirmed:,} bookings were refused although there were seats",
    )
    return {
        "accepted_per_s": decisions.decided / decisions.accepted_in_s,
        "confirmed_per_s": decisions.confirmed / decisions.decided_in_s,
        **figures(answers),
        **shares,
    }
