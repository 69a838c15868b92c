"""Rows of actors that die, come and go, and leave: a supervisor of this process, and what it must survive."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

from aurora_atlan.actors import crew
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import CellState, EventCell
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.actors.messages import (
    AcceptJob,
    Batch,
    BatchDecided,
    BatchFailed,
    BookTickets,
    Flush,
    Passivate,
    Receipt,
)
from aurora_atlan.persistence.jobs import JobStore
from faults.clients import HANG_S, Load, Sale, is_small
from faults.endings import ByDoubleReply, ByExit, ByStart, ByZombie, Ending
from faults.hosts import census, demand_same, host_actors, stop_from_ten_threads
from faults.rare_paths import watched_paths
from faults.row import Row, Scale, Stage, demand
from faults.stage_sale import (
    World,
    milliseconds,
    p99,
    replaced,
    sale_under_way,
    servers,
    settle,
    started,
    waits_s,
)
from harness_sales import make_buyers, make_event, wait_until
from oracle.history import History

_ERRORS = (ValueError, KeyError, SystemExit)
_FOUND_S = 1.0
# Nobody has ids like this: the foreign key of the booking refuses it.
_NOBODY = 2**40
_SOLO_TRIES = 3
_PAUSE_S = 0.01


class Shots:
    """Errors that are to be raised somewhere in the product, and how many were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chance = random.Random(1)
        self.armed = False
        self.fired = 0

    def fire(self, share: float = 1.0) -> None:
        """Raise one of several errors, with this chance, if armed."""
        with self._lock:
            if not self.armed or self._chance.random() >= share:
                return
            self.fired += 1
            error = self._chance.choice(_ERRORS)
        raise error("as the row wants")

    def fire_once(self) -> None:
        """Raise an error, if armed, and be disarmed."""
        with self._lock:
            if not self.armed:
                return
            self.armed = False
            self.fired += 1
            error = _ERRORS[self.fired % len(_ERRORS)]
        raise error("as the row wants")


# Actors that crash while the sale goes on.


def actor_crashes(stage: Stage) -> None:
    """Crash the events' actors on a share of their batches, before handing in or after the commit."""
    shots = Shots()
    share = 0.2 if is_small(stage) else 0.01

    class Crashing(BookingActor):
        def handle(self, message: Any) -> None:
            if (isinstance(message, Flush) and self._pending) or isinstance(message, BatchDecided):
                shots.fire(share / 2)
            super().handle(message)

    with sale_under_way(stage, replaced(crew, "BookingActor", Crashing)) as world:
        shots.armed = True
        while stage.more():
            world.sale.go_on(_PAUSE_S)
            _reach_up_to(stage, shots.fired)
        shots.armed = False
        world.settle()
        slowest = p99(waits_s(world.url))
        stage.seen["p99 of accept to decision"] = milliseconds(slowest)
        demand(slowest < 1.0, f"the 99th percentile of accept to decision is {slowest:.2f} s")


def _reach_up_to(stage: Stage, count: int) -> None:
    if count > stage.reached:
        stage.reach(count - stage.reached)


def gatherer_crashes(stage: Stage) -> None:
    """Crash the journal and the committer in turn, each at every moment of its round trip."""
    shots = {moment: Shots() for moment in _MOMENTS}
    answered_s = 0.0
    with sale_under_way(stage, *_crashing_gatherers(shots)) as world:
        for moment in itertools.cycle(_MOMENTS):
            if not stage.more():
                break
            answered_s = max(answered_s, _crash_one(world, shots[moment], moment))
            stage.reach()
            # Spread out: five in a second are replaced at once, a sixth waits for the sweep.
            world.sale.go_on(0.25)
        refused_s = world.sale.slowest_refusal_s
    stage.seen["answered again after"] = milliseconds(answered_s)
    stage.seen["slowest refusal"] = milliseconds(refused_s)
    demand(refused_s < 0.6, f"a receipt took {refused_s:.2f} s to fail")


_MOMENTS = ("before Redis", "before the transaction", "after Redis", "after COMMIT", "gathering", "after finishing")


def _crashing_gatherers(shots: dict[str, Shots]) -> list[Any]:
    class Journal(JournalActor):
        def handle(self, message: Any) -> None:
            if isinstance(message, AcceptJob):
                shots["gathering"].fire_once()
            super().handle(message)

        def round_trip(self, gathered: Sequence[AcceptJob]) -> None:
            if gathered:
                shots["before Redis"].fire_once()
            super().round_trip(gathered)

        def _enqueue(self, gathered: Sequence[AcceptJob]) -> Any:
            answers = super()._enqueue(gathered)
            shots["after Redis"].fire_once()
            return answers

    class Committer(CommitterActor):
        def _commit(self, batches: Sequence[Batch], *, waiting: bool = False) -> None:
            shots["before the transaction"].fire_once()
            super()._commit(batches, waiting=waiting)

        def _finish(self) -> None:
            if self._unfinished:
                shots["after COMMIT"].fire_once()
            super()._finish()

    finish = JobStore.finish

    def finish_and_crash(store: JobStore, finishes: Any) -> None:
        finish(store, finishes)
        shots["after finishing"].fire_once()

    return [
        replaced(crew, "JournalActor", Journal),
        replaced(crew, "CommitterActor", Committer),
        replaced(JobStore, "finish", finish_and_crash),
    ]


def _crash_one(world: World, shot: Shots, moment: str) -> float:
    """Crash a gathering actor; return the seconds until a booking asked for afterwards had its answer."""
    before = shot.fired
    shot.armed = True
    wait_until(lambda: shot.fired > before, HANG_S, f"a crash {moment}")
    crashed_at = time.monotonic()
    _book_one(world, world.sale.events[0])
    took_s = time.monotonic() - crashed_at
    demand(took_s <= 1.0, f"after a crash {moment} a booking had its answer after {took_s:.2f} s")
    return took_s


def _book_one(world: World, event: int) -> None:
    """Book one ticket of an event by a new buyer, and wait for the answer."""
    [buyer] = make_buyers(world.url, 1)
    receipt = world.sale.book(BookTickets(event, buyer, 1, f"probe-{buyer}"))
    assert receipt is not None
    world.sale.ask(receipt.job_id)


# Actors that end in ways of which Pykka says nothing, beside a host's own actors.


def _endings(ending: Ending, stage: Stage) -> None:
    found_s = 0.0

    class Ended(BookingActor):
        def prepare(self) -> None:
            ending.start(self)
            super().prepare()

        def handle(self, message: Any) -> None:
            ending.before(self, message)
            super().handle(message)

    with (
        sale_under_way(stage, replaced(crew, "BookingActor", Ended), quarantine_s=3.0) as world,
        host_actors() as hosts_answer,
    ):
        while stage.more():
            found_s = max(found_s, _end_one(world, ending))
            hosts_answer()
            stage.reach()
    stage.seen["found after"] = milliseconds(found_s)


def _end_one(world: World, ending: Ending) -> float:
    """End an actor; return the seconds until the supervisor knew. Afterwards the event sells again."""
    event = world.sale.events[0]
    _book_one(world, event)
    cell = world.supervisor._cells.get(event)
    assert cell is not None
    wait_until(lambda: cell.state is CellState.RUNNING, HANG_S, "the event has an actor")
    ending.end(world.supervisor, event)
    if not ending.ended_at:
        [buyer] = make_buyers(world.url, 1)
        world.sale.book(BookTickets(event, buyer, 1, f"victim-{buyer}"))
    wait_until(lambda: ending.ended_at and not ending.failing_starts, HANG_S, "the actor has ended")
    generation, ended_at = ending.generation, ending.ended_at
    wait_until(lambda: _noticed(cell, generation), HANG_S, "the end was noticed")
    found_s = time.monotonic() - ended_at
    demand(found_s <= _FOUND_S, f"the end of an actor was found after {found_s:.2f} s")
    _book_one(world, event)
    return found_s


def _noticed(cell: EventCell, generation: int) -> bool:
    return cell.generation > generation or not cell.alive


# Jobs that cannot be decided.


def poison_alone(stage: Stage) -> None:
    """A job that the database refuses, with nobody beside it."""
    _poisonings(stage, neighbours=0)


def poison_amid_a_batch(stage: Stage) -> None:
    """A job that the database refuses, somewhere in a batch."""
    _poisonings(stage, neighbours=19)


def _poisonings(stage: Stage, neighbours: int) -> None:
    solo_tries: Counter[UUID] = Counter()

    class Counting(BookingActor):
        def _answered(self, batch: Batch, answer: Any) -> None:
            if isinstance(answer, BatchFailed) and len(batch.jobs) == 1:
                solo_tries[batch.jobs[0].job_id] += 1
            super()._answered(batch, answer)

    chance = random.Random(1)
    with sale_under_way(stage, replaced(crew, "BookingActor", Counting)) as world:
        while stage.more():
            # Ahead of the last seat: a job that is refused as sold out is never tried.
            position = chance.randrange(max(1, _seats_for(neighbours)))
            job_id = _poison_one(world, neighbours, position)
            demand(solo_tries[job_id] == _SOLO_TRIES, f"{solo_tries[job_id]} tries alone")
            stage.reach()


def _seats_for(buyers: int) -> int:
    return buyers * 6 // 10


def _poison_one(world: World, neighbours: int, position: int) -> UUID:
    """Let one job of an event be poisoned; demand that the others are decided as if it were not there."""
    seats = _seats_for(neighbours)
    event = make_event(world.supervisor, max(1, seats))
    buyers = make_buyers(world.url, neighbours)
    nobody = _NOBODY + len(world.poisoned)
    world.poisoned.append(nobody)
    buyers.insert(position, nobody)
    if neighbours:
        world.supervisor.pause(event)
    receipts = [world.sale.book(BookTickets(event, buyer, 1, f"batch-{buyer}")) for buyer in buyers]
    if neighbours:
        world.supervisor.resume(event)
    told = [world.sale.ask(receipt.job_id) for receipt in receipts if receipt is not None]
    poisoned = told.pop(position)
    demand((poisoned.status, poisoned.reason) == ("failed", "poison"), f"the poisoned job is {poisoned.reason}")
    wanted = [None] * seats + ["sold_out"] * (neighbours - seats)
    demand([answer.reason for answer in told] == wanted, f"its neighbours are {[answer.reason for answer in told]}")
    return poisoned.job_id


# Actors that come and go.


def passivation_race(stage: Stage) -> None:
    """Let actors leave after a hundredth of a second, amid bookings for hundreds of events."""
    events = 100 if stage.scale is Scale.ONCE else 500
    clients = 8 if is_small(stage) else 16
    load = Load(events=events, wave=20 * events, clients=clients, pause_s=0.01)

    class Dawdling(BookingActor):
        def handle(self, message: Any) -> None:
            if isinstance(message, Passivate):
                # As if its thread were not let on: this is when jobs arrive that it must not miss.
                time.sleep(_DAWDLE_S)
            super().handle(message)

    dawdling = replaced(crew, "BookingActor", Dawdling)
    with sale_under_way(stage, dawdling, load=load, actor_idle_s=0.01, sweep_s=0.01) as world:
        while stage.more(at_least=2 * events):
            world.sale.go_on(_PAUSE_S)
            _reach_up_to(stage, world.sale.receipts)
        world.settle()
        slowest = waits_s(world.url)[-1]
        stage.seen["slowest decision"] = milliseconds(slowest)
        demand(slowest < _HANGING_S, f"a job waited {slowest:.1f} s: it was forgotten for a while")


_HANGING_S = 5.0
_DAWDLE_S = 0.005


def many_events(stage: Stage) -> None:
    """Book one ticket each of far more events than there may be actors, within seconds."""
    part = {Scale.ONCE: 25, Scale.CI: 10}.get(stage.scale, 1)
    count, cap, within_s = 5000 // part, 512 // part, 5.0 / part
    peak = 0
    with sale_under_way(stage, load=Load(clients=0), actors_max=cap) as world:
        while stage.more(at_least=1):
            with _counted_threads() as threads:
                _book_many(world, count, within_s)
            peak = max(peak, *threads)
            stage.reach()
    peak -= _MANY_CLIENTS
    stage.seen["threads"] = f"{peak} with {cap} actors"
    demand(peak <= cap + 40, f"{peak} threads for {cap} actors")


def _book_many(world: World, count: int, within_s: float) -> None:
    events = [make_event(world.supervisor, 1) for _ in range(count)]
    buyers = make_buyers(world.url, count)
    began = time.monotonic()

    def book(number: int) -> Receipt | None:
        time.sleep(max(0.0, began + number * within_s / count - time.monotonic()))
        return world.sale.book(BookTickets(events[number], buyers[number]))

    with ThreadPoolExecutor(_MANY_CLIENTS) as clients:
        receipts = list(clients.map(book, range(count)))
    took_s = time.monotonic() - began
    demand(None not in receipts, "a booking was refused")
    world.stage.seen["accepted within"] = f"{took_s:.1f} s"
    for receipt in receipts:
        assert receipt is not None
        world.sale.ask(receipt.job_id)


@contextmanager
def _counted_threads() -> Iterator[list[int]]:
    """Count threads again and again; yields the counts, without the counting thread itself."""
    over = threading.Event()
    counts = [0]

    def count() -> None:
        while not over.wait(0.002):
            counts.append(threading.active_count() - 1)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield counts
    finally:
        over.set()
        counting.join()


_MANY_CLIENTS = 8


# Leaving.


def stops(stage: Stage) -> None:
    """Stop a supervisor from ten threads at once, under load; the next one decides what is left."""
    history = History()
    with ExitStack() as stack:
        settings = stack.enter_context(stack.enter_context(servers(stage)).settings())
        stack.enter_context(watched_paths(stage))
        stack.enter_context(host_actors())
        with started(settings, history):
            # What a first start makes for good is not the second's.
            pass
        before = census()
        while stage.more():
            with started(settings, history) as supervisor:
                with Sale(supervisor, history, stage, _LEAVING) as sale:
                    wait_until(lambda: sale.receipts > 100, HANG_S, "bookings are accepted")
                    stop_from_ten_threads(supervisor)
                demand_same(before)
            stage.reach()
        with started(settings, history) as supervisor:
            settle(supervisor, history)
        demand_same(before)


# With keys only, as whoever is refused then waits to repeat it, and the wave outlasts the stop.
_LEAVING = Load(wave=1600, keyed=1.0, asking=False, pause_s=0.005)


def two_supervisors(stage: Stage) -> None:
    """Run two supervisors over stores of their own; one leaves, the other goes on, and then leaves, too."""
    histories = [History(), History()]
    with ExitStack() as stack:
        own_servers = stack.enter_context(servers(stage))
        settings = [stack.enter_context(own_servers.settings(number)) for number in range(2)]
        stack.enter_context(watched_paths(stage))
        stack.enter_context(host_actors())
        for one, history in zip(settings, histories, strict=True):
            with started(one, history):
                pass
        before = census()
        while stage.more():
            with started(settings[0], histories[0]) as first, started(settings[1], histories[1]) as second:
                with Sale(first, histories[0], stage, _LEAVING) as sale, Sale(second, histories[1], stage) as other:
                    wait_until(lambda: min(sale.receipts, other.receipts) > 50, HANG_S, "both sell")
                    first.stop()
                    _demand_more(other)
                    demand(second.health().ready, "the other one is not ready")
                second.stop()
                demand_same(before)
            stage.reach()
        for one, history in zip(settings, histories, strict=True):
            with started(one, history) as supervisor:
                settle(supervisor, history)
        demand_same(before)


def _demand_more(sale: Sale) -> None:
    receipts = sale.receipts
    wait_until(lambda: sale.receipts > receipts + 50, HANG_S, "the other one goes on")


_IN_ACTOR = "SystemExit in an actor, `on_start` failure, zombie thread, double reply"
_FOUND = "found <= 1 s; host actors alive"
_POISON = "poison job, alone and amid a batch"
_POISONED = "dead-lettered after 3 solo tries, neighbours unaffected and in order"
_STOP = "SIGTERM under load; stop() from 10 threads x 50; two supervisors in one process"
_STOPPED = "0 aborted requests; exit <= 20 s; I9"

ROWS: tuple[Row, ...] = (
    Row(
        "actor-crash",
        "actor crashes (20 % of batches in CI, 1 % in full)",
        "I1-I6; p99 < 1 s",
        1_000,
        50_000,
        actor_crashes,
    ),
    Row(
        "gatherer-crash",
        "crash of the journal or the committer under load",
        "I1-I6; receipts fail fast; answered again <= 1 s",
        200,
        10_000,
        gatherer_crashes,
    ),
    Row("actor-exit", f"{_IN_ACTOR}: SystemExit", _FOUND, 50, 50, lambda stage: _endings(ByExit(), stage)),
    Row("actor-start", f"{_IN_ACTOR}: on_start", _FOUND, 50, 50, lambda stage: _endings(ByStart(), stage)),
    Row("actor-zombie", f"{_IN_ACTOR}: zombie", _FOUND, 50, 50, lambda stage: _endings(ByZombie(), stage)),
    Row(
        "actor-double-reply",
        f"{_IN_ACTOR}: double reply",
        _FOUND,
        50,
        50,
        lambda stage: _endings(ByDoubleReply(), stage),
    ),
    Row("poison-alone", f"{_POISON}: alone", _POISONED, 20, 20, poison_alone),
    Row("poison-amid", f"{_POISON}: amid a batch", _POISONED, 20, 20, poison_amid_a_batch),
    Row(
        "passivation-race",
        "passivation race (idle 10 ms, 500 events)",
        "I2, I5, 0 hangs",
        100_000,
        100_000,
        passivation_race,
    ),
    Row(
        "many-events",
        "5,000 events in 5 s with 512 actors",
        "threads <= cap + 40; all decided",
        1,
        5,
        many_events,
    ),
    Row("stop-threads", f"{_STOP}: ten threads", _STOPPED, 50, 200, stops),
    Row("two-supervisors", f"{_STOP}: two supervisors", _STOPPED, 20, 200, two_supervisors),
)
