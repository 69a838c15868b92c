"""What grows with the queue and with the ledger: nothing should but memory, and that little."""

from __future__ import annotations

import itertools
import time
from uuid import UUID

import psutil

from aurora_atlan.persistence.job_ids import random_job_id
from aurora_atlan.persistence.records import NewJob
from benchmarks import embedding, plan
from benchmarks.installation import Installation
from benchmarks.judging import figures, judge
from benchmarks.reading import read
from benchmarks.results import Sample
from benchmarks.world import World

_ENQUEUE_AT_ONCE = 1_000
# By then the supervisor has found the events that have work.
_SETTLED_S = 5.0
_EMPTY, _GROWN = "empty", "grown"


def accept_behind(world: World, waiting: int) -> Sample:
    """Accept bookings of a paused event in whose queue so many wait, and read where the last of these stands."""
    installation = world.installation("waiting")
    service = world.service(installation)
    [event] = installation.make_events(1, plan.CAPACITY)
    service.post(f"/api/admin/queue/pause?eventId={event}", world.crowd.token(1, "ADMIN"))
    # One at least, whose status can be asked for.
    last = _enqueue(installation, [event], max(1, waiting), world.crowd.total)
    [before] = installation.queue.next_numbers([event])
    status = read(world, service, f"/api/bookings/status/{last}")
    with (
        world.meter.over(service.pid) as shares,
        world.book(service, [event], seconds=world.plan.short_seconds) as load,
    ):
        answers = load.answers()
    [after] = installation.queue.next_numbers([event])
    judge(world, answers, shares, after - before)
    return {**figures(answers), "status_per_s": status["requests_per_s"], **shares}


def memory(world: World) -> Sample:
    """Start a service that finds many events with many jobs waiting, all paused; its resident memory in MB."""
    installation = world.installation("memory")
    events = [
        row[0]
        for row in installation.rows(
            "WITH made AS (INSERT INTO events (name, venue, time)"
            " SELECT 'Event ' || n, 'Harbour', now() + interval '1 year' FROM generate_series(1, %s) AS n RETURNING id)"
            " INSERT INTO event_inventory (event_id, capacity) SELECT id, %s FROM made RETURNING event_id",
            plan.MEMORY_EVENTS,
            plan.CAPACITY,
        )
    ]
    installation.run("UPDATE installation SET paused = true")
    _enqueue(installation, events, plan.MEMORY_JOBS, world.crowd.total)
    service = world.service(installation)
    time.sleep(_SETTLED_S)
    rss_mb = psutil.Process(service.pid).memory_info().rss / 1e6
    # It looks after all these events as long as it runs: not beside what is measured next.
    world.stop_processes()
    return {"rss_mb": rss_mb}


def decide_empty(world: World) -> Sample:
    """Decide bookings in a database that has none."""
    installation = world.installation(_EMPTY)
    return embedding.decide(world, installation, installation.make_events(1, plan.CAPACITY))


def decide_grown(world: World) -> Sample:
    """Decide bookings of an event that has a million in bookings and ledger."""
    # New users each time, as this event stays.
    installation = world.installation(_GROWN, users=world.plan.rounds * plan.ENGINE_JOBS)
    if not installation.rows("SELECT FROM events"):
        _make_grown_event(installation)
    [(event, sold)] = installation.rows("SELECT event_id, sold FROM event_inventory")
    return embedding.decide(world, installation, [event], first_user=sold - plan.RECORDED + 1)


def _make_grown_event(installation: Installation) -> None:
    [event] = installation.make_events(1, plan.CAPACITY + plan.RECORDED)
    installation.run_each(
        # Foreign keys are not checked: the users of these bookings are not there.
        "SET session_replication_role = replica",
        "SET synchronous_commit = off",
        "INSERT INTO bookings (job_id, event_id, user_id, quantity, slot, queue_number, created_at)"
        " SELECT gen_random_uuid(), %(event)s, 10000000 + n, 1, 1, n, now() FROM generate_series(1, %(count)s) AS n",
        "INSERT INTO booking_ledger"
        " SELECT event_id, queue_number + 1, 'confirmed', job_id, id, user_id, quantity, NULL, queue_number,"
        "        created_at, queue_number, %(capacity)s, created_at, sha256(job_id::text::bytea),"
        "        sha256(job_id::text::bytea)"
        "   FROM bookings",
        "UPDATE event_inventory SET sold = %(count)s, bookings = %(count)s, last_queue_number = %(count)s,"
        " last_entry = %(count)s + 1",
        "VACUUM (ANALYZE) bookings",
        "VACUUM (ANALYZE) booking_ledger",
        "CHECKPOINT",
        event=event,
        count=plan.RECORDED,
        capacity=plan.CAPACITY + plan.RECORDED,
    )


def _enqueue(installation: Installation, events: list[int], jobs: int, users: int) -> UUID:
    """Put jobs into the queues as the service does; return the id of the last one."""
    installation.queue.seed_all([(event, 0, 0) for event in events])
    new = [
        NewJob(random_job_id(event), event, number % users + 1, 1, None)
        for number, event in zip(range(jobs), itertools.cycle(events), strict=False)
    ]
    for start in range(0, jobs, _ENQUEUE_AT_ONCE):
        installation.queue.enqueue(new[start : start + _ENQUEUE_AT_ONCE])
    return new[-1].job_id
