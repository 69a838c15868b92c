"""The engine without HTTP: what the actors and the stores alone decide per second."""

from __future__ import annotations

from benchmarks import plan, row_lock
from benchmarks.installation import Installation
from benchmarks.results import Sample
from benchmarks.world import ENGINE, World


def decide_hot(world: World) -> Sample:
    """Book one event."""
    installation = world.installation(ENGINE)
    return decide(world, installation, installation.make_events(1, plan.CAPACITY))


def decide_many(world: World) -> Sample:
    """Book some events in turns."""
    installation = world.installation(ENGINE)
    return decide(world, installation, installation.make_events(plan.EVENTS_MANY, plan.CAPACITY))


def decide(world: World, installation: Installation, events: list[int], first_user: int = 1) -> Sample:
    """Let the engine book these events, for users from the first on, and hold the ledger against it."""
    engine = world.engine(installation)
    before = installation.decisions(events)
    with world.meter.over(engine.pid) as shares:
        took = engine.ask(
            "book", events=events, first_user=first_user, jobs=plan.ENGINE_JOBS, threads=plan.ENGINE_THREADS
        )
    confirmed = installation.decisions(events).confirmed - before.confirmed
    installation.settle()
    world.check(took["refused"] == 0, f"the engine refused {took['refused']} of {plan.ENGINE_JOBS:,} bookings")
    world.check(confirmed == plan.ENGINE_JOBS, f"the engine confirmed {confirmed:,} of {plan.ENGINE_JOBS:,} bookings")
    return {
        "accepted_per_s": plan.ENGINE_JOBS / took["accepted_s"],
        "confirmed_per_s": plan.ENGINE_JOBS / took["decided_s"],
        **shares,
    }


def one_by_one(world: World) -> Sample:
    """Book one event in the same process, one transaction after the other."""
    engine = world.engine(world.installation(ENGINE))
    url = world.row_lock_url()
    [event] = row_lock.make_events(url, 1, plan.CAPACITY)
    with world.meter.over(engine.pid) as shares:
        took = engine.ask("one_by_one", database_url=url, event=event, first_user=1, jobs=plan.ONE_BY_ONE_JOBS)
    return {"confirmed_per_s": plan.ONE_BY_ONE_JOBS / took["decided_s"], **shares}
