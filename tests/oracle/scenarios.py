"""The sales that are disturbed, each so that one safeguard is needed. A sound service comes through all of them."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Any

import redis

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.cell import CellState
from aurora_atlan.actors.commit import Committing, Decided
from aurora_atlan.actors.messages import CommitterReplaced, Flush
from aurora_atlan.persistence.errors import DataError, StoreUnavailableError
from aurora_atlan.supervisor import Supervisor
from harness_crowd import CONNECTIONS, a_wish, at_a_barrier, crowd
from harness_sales import create_event, make_buyers, wait_until
from oracle.checker import undecided
from oracle.disturbances import FrozenCommitter, at_commit, crashing_actors, lost_enqueue_replies
from oracle.history import Attempt, Told
from oracle.sale import Sale, Trigger

_LAST_SEATS = 4
# A lease that nobody waits for the end of.
_LONG_LEASE_S = 60.0
_SHORT_LEASE_S = 0.2


def the_last_seat(sale: Sale) -> None:
    """Many transactions want each event's last seat at the same moment, around the actors."""
    events = [create_event(sale.settings, 1) for _ in range(_LAST_SEATS)]
    users = make_buyers(sale.url, CONNECTIONS)
    now = sale.run_sql("SELECT now()")
    with crowd(sale.settings) as bookings:
        committing = Committing(bookings, owner=1, lease_s=_LONG_LEASE_S, job_age_max=None)
        at_a_barrier(
            CONNECTIONS,
            _LAST_SEATS,
            lambda number, turn: _want_seat(sale, committing, events[turn], users[number], now),
        )


def _want_seat(sale: Sale, committing: Committing, event_id: int, user_id: int, now: Any) -> None:
    batch = a_wish(event_id, user_id, now)
    [job] = batch.jobs
    asked_at = time.time()
    try:
        [verdict] = committing.commit([batch], patient=True)
    except DataError:
        return
    assert isinstance(verdict, Decided)
    [outcome] = verdict.outcomes
    sale.history.add(
        Attempt(
            event_id=event_id,
            user_id=user_id,
            quantity=1,
            key=None,
            asked_at=asked_at,
            answered_at=time.time(),
            accepted=True,
            job_id=job.job_id,
            queue_number=job.queue_number,
        )
    )
    sale.history.add(
        Told(
            job_id=job.job_id,
            told_at=time.time(),
            status="failed" if outcome.booking_id is None else "completed",
            reason=outcome.reason,
            booking_id=outcome.booking_id,
        )
    )


def sold_out(sale: Sale) -> None:
    """Nothing goes wrong; there are more buyers than seats."""
    with sale.service() as supervisor:
        events = [sale.event(supervisor, 5) for _ in range(2)]
        sale.rush(supervisor, events, sale.buyers(40))
        sale.hear(supervisor)


def commit_replies_lost(sale: Sale) -> None:
    """Batches are committed, and the connection is lost before anybody hears of it."""
    lost = Trigger()

    def lose_reply() -> None:
        if lost.pull():
            raise StoreUnavailableError("as the scenario wants")

    with at_commit(after=lose_reply), sale.service() as supervisor:
        event_id = sale.event(supervisor, 100, cap_per_user=5)
        sale.sell_first(supervisor, [event_id])
        lost.arm(2)
        sale.rush(supervisor, [event_id], sale.buyers(20))
        sale.hear(supervisor)
    lost.demand_it_went_off()


def committer_and_actor_crash(sale: Sale) -> None:
    """The committer crashes just before COMMIT, and the event's actor over the news of it."""
    before_commit, over_news = Trigger(), Trigger()

    def crash() -> None:
        if before_commit.pull():
            over_news.arm()
            raise RuntimeError("as the scenario wants")

    with (
        at_commit(before=crash),
        crashing_actors(over_news, lambda _actor, message: isinstance(message, CommitterReplaced)),
        sale.service() as supervisor,
    ):
        event_id = sale.event(supervisor, 100)
        sale.sell_first(supervisor, [event_id])
        before_commit.arm()
        sale.rush(supervisor, [event_id], sale.buyers(20))
        sale.hear(supervisor)
    over_news.demand_it_went_off()


def frozen_owner(sale: Sale) -> None:
    """An event's owner freezes with a batch in hand, Redis loses its memory, another takes the event over and sells."""
    with ExitStack() as stack:
        owner = stack.enter_context(sale.service(lease_s=_SHORT_LEASE_S))
        other = stack.enter_context(sale.service(lease_s=_LONG_LEASE_S))
        frozen = FrozenCommitter(owner)
        stack.enter_context(frozen.installed())
        event_id = sale.event(owner, 100)
        sale.sell_first(owner, [event_id])

        frozen.freeze()
        stale = [sale.buy(owner, event_id, user_id) for user_id in sale.buyers(3)]
        assert frozen.holds.wait(10)
        _empty_redis(sale)
        wait_until(lambda: sale.run_sql("SELECT lease_until < now() FROM event_inventory"), 10, "the lease has ended")
        sale.hear(other, [sale.buy(other, event_id, user_id) for user_id in sale.buyers(10)])

        frozen.wake()
        cell = owner._cells.get_or_make(event_id)
        wait_until(
            lambda: cell.state is CellState.FOREIGN or undecided(sale.url, stale) < len(stale),
            10,
            "the former owner knows, or has committed",
        )


def sequence_behind(sale: Sale) -> None:
    """The sequence of booking ids is behind by one, as after a careless restore."""
    with sale.service() as supervisor:
        event_id = sale.event(supervisor, 100)
        sale.sell_first(supervisor, [event_id])
        sale.run_sql("SELECT setval('bookings_id_seq', (SELECT max(id) FROM bookings), false)")
        sale.rush(supervisor, [event_id], sale.buyers(10))
        sale.hear(supervisor)


def enqueue_replies_lost(sale: Sale) -> None:
    """Redis accepts jobs, and its replies are lost."""
    lost = Trigger()
    with lost_enqueue_replies(lost), sale.service() as supervisor:
        event_id = sale.event(supervisor, 100, cap_per_user=5)
        sale.sell_first(supervisor, [event_id])
        lost.arm()
        sale.rush(supervisor, [event_id], sale.buyers(20))
        sale.hear(supervisor)
    lost.demand_it_went_off()


def actor_crashes_with_jobs(sale: Sale) -> None:
    """An event's actor crashes with jobs in memory that it has not handed in."""
    with_jobs = Trigger()

    def has_jobs(actor: BookingActor, message: object) -> bool:
        return isinstance(message, Flush) and bool(actor._pending)

    with crashing_actors(with_jobs, has_jobs), sale.service() as supervisor:
        event_id = sale.event(supervisor, 100)
        sale.sell_first(supervisor, [event_id])
        with_jobs.arm()
        sale.rush(supervisor, [event_id], sale.buyers(30))
        sale.hear(supervisor)
    with_jobs.demand_it_went_off()


def rolled_back_and_sold_out(sale: Sale) -> None:
    """A batch is rolled back; before it is tried again its client asks, and an operator takes the seats away."""
    lost, over = Trigger(), threading.Event()
    supervisors: list[Supervisor] = []

    def lose_connection() -> None:
        if lost.pull():
            over.set()
            raise StoreUnavailableError("as the scenario wants")

    def meanwhile() -> None:
        if over.is_set():
            over.clear()
            # The client may not have taken its receipt yet.
            wait_until(lambda: len(sale.history.accepted_jobs()) == 2, 10, "the first job and this one have receipts")
            for job_id in sale.history.accepted_jobs():
                sale.ask(supervisors[0], job_id)
            supervisors[0].set_capacity(events[0], 1)

    with at_commit(before=lose_connection, rolled_back=meanwhile), sale.service() as supervisor:
        supervisors.append(supervisor)
        events = [sale.event(supervisor, 10)]
        sale.sell_first(supervisor, events)
        lost.arm()
        sale.hear(supervisor, [sale.buy(supervisor, events[0], user_id) for user_id in sale.buyers(1)])
    lost.demand_it_went_off()


def accepted_elsewhere(sale: Sale) -> None:
    """Another process accepts a job between two of the owner's own."""
    with sale.service(sweep_s=1.0) as owner, sale.service(sweep_s=1.0) as other:
        events = [sale.event(owner, 10) for _ in range(6)]
        sale.sell_first(owner, events)
        for event_id in events:
            for supervisor, user_id in zip((other, owner), sale.buyers(2), strict=True):
                sale.buy(supervisor, event_id, user_id)
        sale.hear(owner)


def _empty_redis(sale: Sale) -> None:
    assert sale.settings.redis_url is not None
    with redis.Redis.from_url(sale.settings.redis_url) as client:
        client.flushall()
