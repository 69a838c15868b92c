"""Reading over HTTP."""

from __future__ import annotations

from benchmarks import plan
from benchmarks.judging import figures, judge
from benchmarks.load import Load
from benchmarks.results import Sample
from benchmarks.services import Server
from benchmarks.world import World


def list_events(world: World) -> Sample:
    """Read the first page of the list of events."""
    main = world.main
    [(known,)] = main.rows("SELECT count(*) FROM events")
    main.make_events(max(0, plan.EVENTS_LISTED - known), plan.CAPACITY)
    return read(world, world.service(main), f"/api/events/view?limit={plan.EVENTS_LISTED}")


def show_event(world: World) -> Sample:
    """Read one event, which counts as a view of it."""
    [event] = world.main.make_events(1, plan.CAPACITY)
    return read(world, world.service(world.main), f"/api/events/{event}/view")


def bare(world: World) -> Sample:
    """Read from the baseline that does nothing."""
    return read(world, world.bare(), "/api/events/view")


def read(world: World, server: Server, path: str) -> Sample:
    """Load a server with one GET."""
    with (
        world.meter.over(server.pid) as shares,
        Load(f"{server.url}{path}", "read", seconds=world.plan.short_seconds) as load,
    ):
        answers = load.answers()
    judge(world, answers, shares)
    return {**figures(answers), **shares}
