"""Rows in which the service itself is hurt: killed at any moment or at a fault point, frozen, crowded, stopped."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import aiohttp
import orjson
import psutil

from aurora_atlan.config import Settings
from aurora_atlan.config.faults import FAULT_POINTS
from aurora_atlan.persistence.events import NewEvent
from faults.load import Load
from faults.nemesis import Nemesis
from faults.row import Row, Scale, Stage, demand
from faults.scene import EPOCH_ABORT, Scene, scene
from faults.watch import Stopwatch
from faults.world import World, made, wait_for
from harness_http import HttpRush, Wish
from oracle.checker import check_final, check_snapshot
from oracle.history import Attempt, History

_POINT_REACHED_WITHIN_S = 20.0
# So rarely at each point that some work is done before.
_POINT_CHANCE = 0.1
_IDLE_S = 0.3
# Points that only actors that come and go reach, and so at once.
_ALWAYS = frozenset({"on_start", "on_stop", "in_passivation", "after_delivery"})

_DEPTH_MAX = 1_000
_CROWD = 10_000
_CROWD_CONNECTIONS = 200
_EARLY = 200
# One buyer's, more than one may have waiting.
_IMPATIENT = 30
_GROWTH_MAX = 64 * 2**20
_HEALTH_WITHIN_S = 0.1
_STOPPED_WITHIN_S = 20.0
_STOP_CONNECTIONS = 16
_MIXED_EVERY_S = 10.0
_MIXED_SMALL_EVERY_S = 0.5


def kill_service(stage: Stage) -> None:
    """SIGKILL under load, again and again."""
    with scene(stage) as act:
        act.begin()
        while stage.more():
            act.let_decide()
            act.kill_service()
            act.start_service()
            stage.reach()
        act.finish()


def kill_at_points(stage: Stage) -> None:
    """The service SIGKILLs itself at each fault point in turn."""
    with scene(stage, environ={"AURORA_ACTOR_IDLE_S": f"{_IDLE_S:g}"}) as act:
        act.begin()
        points = itertools.cycle(FAULT_POINTS)
        act.kill_service()
        while stage.more(len(FAULT_POINTS)):
            point = next(points)
            chance = "" if point in _ALWAYS else f"@{_POINT_CHANCE}"
            act.start_armed(f"{point}=kill{chance}")
            died = act.service_ends(_POINT_REACHED_WITHIN_S)
            act.expect(died, f"the fault point {point} was not reached within {_POINT_REACHED_WITHIN_S:g} s")
            if not died:
                act.kill_service()
            stage.reach(int(died))
            if not died:
                break
            act.service.environ.pop("AURORA_FAULT_POINTS")
            act.start_service()
            act.let_decide(10)
            act.kill_service()
        act.service.environ.pop("AURORA_FAULT_POINTS", None)
        act.start_service()
        act.finish()


def frozen_owner(stage: Stage) -> None:
    """Two processes over the same stores; the one that owns the events is stopped, and wakes up deposed."""
    lease_s = stage.times().get("lease_s", Settings.__dataclass_fields__["lease_s"].default)
    with scene(stage, services=2) as act:
        load = act.begin()
        turn = 0
        while stage.more():
            act.let_decide()
            frozen = act.world.services[turn % 2]
            other = act.world.services[1 - turn % 2]
            turn += 1
            owners = _owners(act.world)
            load.urls = [other.url]
            act.watches[frozen].serving(False)
            os.kill(frozen.pid, signal.SIGSTOP)
            try:
                wait_for(partial(_taken_over, act.world, owners), 2 * lease_s + 10.0, "the other takes an event over")
                act.let_decide(20, within_s=2 * lease_s + 15.0)
            finally:
                os.kill(frozen.pid, signal.SIGCONT)
            load.urls = [service.url for service in act.world.services]
            act.watches[frozen].serving(True)
            act.wait_well(10.0, "with both awake")
            stage.reach()
        act.stage.seen["epochs"] = str(_epochs(act.world))
        act.finish(_deposed)


def crowd(stage: Stage) -> None:
    """10,000 bookings for one event whose queue takes 1,000 and stands still."""
    environ = {"AURORA_QUEUE_DEPTH_MAX": str(_DEPTH_MAX)}
    with scene(stage, environ=environ) as act:
        while stage.more(1):
            act.load = Load(act.world, stage, act.history, rate=1.0, cancels=False)
            world = act.world
            when = datetime(2027, 6, 1, 20, tzinfo=UTC)
            event_id = world.office.events.create(NewEvent("Aurora", "Atlan", when, _DEPTH_MAX // 2)).id
            buyers = world.make_buyers(_CROWD)
            process = psutil.Process(act.service.pid)
            world.office.pause(event_id)
            # The first few fill what is filled once: code, connections, threads.
            wishes = [Wish(buyer, event_id) for buyer in buyers]
            impatient = [wishes[0]] * _IMPATIENT
            early = asyncio.run(_all_at_once(act, impatient + wishes[1:_EARLY]))
            before = process.memory_info().rss
            with Stopwatch(act.service) as stopwatch:
                answers = asyncio.run(_all_at_once(act, wishes[_EARLY:]))
                act.limit("health", stopwatch.slowest_s(), _HEALTH_WITHIN_S)
            growth = process.memory_info().rss - before
            answers += early
            stage.seen["answers"] = ", ".join(f"{count:,} x {status}" for status, count in sorted(answers.items()))
            stage.seen["memory growth"] = f"{growth / 2**20:.0f} MiB"
            act.expect(set(answers) <= {202, 429, 503}, f"answers were {dict(answers)}")
            act.expect(growth < _GROWTH_MAX, f"memory grew by {growth / 2**20:.0f} MiB, 64 are allowed")
            stage.once("a 503", answers[503])
            stage.once("a 429", answers[429])
            world.office.resume(event_id)
            stage.reach()
        act.clients.start()
        act.finish()


def sigterm(stage: Stage) -> None:
    """SIGTERM under load: whoever was let in is answered, and what is undecided waits."""
    history = History()
    # Refused with a job id: they may have been accepted all the same.
    perhaps: set[UUID] = set()
    with made(stage) as world:
        service = world.add_service()
        buyers = world.make_buyers()
        while stage.more():
            service.start()
            when = datetime(2027, 6, 1, 20, tzinfo=UTC)
            events = [world.office.events.create(NewEvent("Aurora", "Atlan", when, 100)).id for _ in range(3)]
            wishes = [Wish(buyer, events[number % 3]) for number, buyer in enumerate(buyers)]
            rush = HttpRush(service.url, wishes, connections=_STOP_CONNECTIONS).start()
            wait_for(partial(_accepted, rush, 100), 20.0, "bookings are accepted")
            asked_at = time.monotonic()
            code = service.terminate(_STOPPED_WITHIN_S + 5.0)
            took_s = time.monotonic() - asked_at
            rush.give_up()
            rush.join()
            _remember(history, rush)
            perhaps |= rush.perhaps
            demand(code == 0, f"the exit code is {code}")
            demand(took_s <= _STOPPED_WITHIN_S, f"the stop took {took_s:.1f} s, {_STOPPED_WITHIN_S:g} s are allowed")
            demand(not rush.aborted, f"{len(rush.aborted)} requests were aborted: {rush.aborted[:2]}")
            stage.seen["slowest exit"] = max(stage.seen.get("slowest exit", ""), f"{took_s:4.1f} s")
            stage.reach()
        service.start()
        wait_for(lambda: world.queued() == 0, 10.0, "the queues are empty")
        history.save(stage.folder / "history.jsonl")
        found = check_final(world.url, history, others_allowed=bool(perhaps))
        demand(not found, "\n".join(f"{one.invariant}: {one.sentence}" for one in found))


def mixed(stage: Stage) -> None:
    """One fault after the other, of all kinds."""
    every_s = _MIXED_EVERY_S if stage.scale in (Scale.FULL, Scale.LONG) else _MIXED_SMALL_EVERY_S
    with scene(stage) as act:
        act.begin()
        nemesis = Nemesis(act)
        while stage.more():
            struck_at = time.monotonic()
            nemesis.strike()
            act.let_decide()
            for found in check_snapshot(act.world.url):
                act.expect(False, f"{found.invariant}: {found.sentence}")
            nemesis.wait_turn(struck_at, every_s)
            stage.reach()
        stage.seen["faults"] = ", ".join(f"{count} x {name}" for name, count in nemesis.strikes.items())
        act.finish()


def _epochs(world: World) -> int:
    with world.connect() as connection:
        row = connection.execute("SELECT sum(epoch)::bigint FROM event_inventory").fetchone()
    assert row is not None
    return int(str(row[0]))


def _deposed(act: Scene) -> None:
    aborts = sum(service.log_text().count(EPOCH_ABORT) for service in act.world.services)
    act.expect(aborts, "no service says that its batch met a newer epoch")


def _owners(world: World) -> dict[int, int]:
    with world.connect() as connection:
        rows = connection.execute("SELECT event_id, owner FROM event_inventory WHERE owner IS NOT NULL").fetchall()
    return {int(str(event_id)): int(str(owner)) for event_id, owner in rows}


def _taken_over(world: World, before: dict[int, int]) -> bool:
    # From one owner to another, not from nobody: that is what an owner who wakes up must meet.
    return any(before.get(event_id, owner) != owner for event_id, owner in _owners(world).items())


def _accepted(rush: HttpRush, count: int) -> bool:
    return len(rush.accepted) >= count


async def _all_at_once(act: Scene, wishes: list[Wish]) -> Counter[int]:
    answers: Counter[int] = Counter()
    waiting = iter(wishes)
    connector = aiohttp.TCPConnector(limit=_CROWD_CONNECTIONS)
    async with aiohttp.ClientSession(base_url=act.service.url, connector=connector) as session:

        async def client() -> None:
            for wish in waiting:
                asked_at = time.time()
                headers = {"Authorization": f"Bearer {wish.buyer.token}"}
                async with session.post(f"/api/bookings/{wish.event_id}/book", headers=headers) as response:
                    body = orjson.loads(await response.read())
                    answers[response.status] += 1
                    accepted = response.status == 202
                    act.history.add(
                        Attempt(
                            event_id=wish.event_id,
                            user_id=wish.buyer.user_id,
                            quantity=1,
                            key=None,
                            asked_at=asked_at,
                            answered_at=time.time(),
                            accepted=accepted,
                            job_id=UUID(body["jobId"]) if "jobId" in body else None,
                            queue_number=body["queueNumber"] if accepted else None,
                            answer=str(response.status),
                        )
                    )

        await asyncio.gather(*(client() for _ in range(_CROWD_CONNECTIONS)))
    return answers


def _remember(history: History, rush: HttpRush) -> None:
    # When each was asked is not known: only what came of it counts here.
    for wish, job_id in rush.accepted.items():
        history.add(
            Attempt(
                event_id=wish.event_id,
                user_id=wish.buyer.user_id,
                quantity=1,
                key=wish.key,
                asked_at=0.0,
                answered_at=time.time(),
                accepted=True,
                job_id=UUID(job_id),
                answer="202",
            )
        )


ROWS = (
    Row(
        "kill-service",
        "SIGKILL of the service under load, restart",
        "I1-I6, I11; first commit <= 3 s after start",
        25,
        500,
        kill_service,
    ),
    Row(
        "kill-at-points",
        "SIGKILL exactly at each fault point",
        "I1-I6, I11; first commit <= 3 s after start",
        55,
        550,
        kill_at_points,
    ),
    Row(
        "frozen-owner",
        "two processes on the same events, owner SIGSTOPped and woken",
        "I1-I5; at least one epoch abort",
        20,
        200,
        frozen_owner,
    ),
    Row(
        "crowd",
        "10,000 POSTs to one event at depth limit 1,000",
        "only 202/429/503; memory growth < 64 MiB; health <= 100 ms",
        1,
        10,
        crowd,
        alone=True,
    ),
    Row("sigterm", "SIGTERM under load", "0 aborted requests; exit <= 20 s", 20, 200, sigterm),
    Row("mixed", "mixed nemesis every 10 s", "all; memory, descriptors, threads flat", 30, 2_880, mixed),
)
