"""What others would reach: the same load on the baselines."""

from __future__ import annotations

from benchmarks import plan, row_lock
from benchmarks.judging import figures, judge
from benchmarks.results import Sample
from benchmarks.services import Server
from benchmarks.world import World


def bare(world: World) -> Sample:
    """Load the baseline that does nothing."""
    return _bare(world, world.bare())


def bare_untuned(world: World) -> Sample:
    """Load the same under the usual scheduling policy, and with the garbage collector as it comes."""
    return _bare(world, world.bare(untuned=True))


def _bare(world: World, server: Server) -> Sample:
    with world.meter.over(server.pid) as shares, world.book(server, [1], seconds=world.plan.seconds) as load:
        answers = load.answers()
    judge(world, answers, shares)
    world.crowd.advance(answers.requests + plan.CONNECTIONS)
    return {**figures(answers), **shares}


def row_lock_hot(world: World) -> Sample:
    """Load the baseline with a row lock per request, with one event."""
    return _row_lock(world, 1)


def row_lock_many(world: World) -> Sample:
    """Load the baseline with a row lock per request, with some events in turns."""
    return _row_lock(world, plan.EVENTS_MANY)


def _row_lock(world: World, count: int) -> Sample:
    server, url = world.row_lock(), world.row_lock_url()
    events = row_lock.make_events(url, count, plan.CAPACITY)
    with world.meter.over(server.pid) as shares, world.book(server, events, seconds=world.plan.seconds) as load:
        answers = load.answers()
    judge(world, answers, shares, row_lock.count_bookings(url, events))
    return {**figures(answers), **shares}
