"""The supervisor over real stores: selling, refusing, and never losing an accepted job."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from aurora_atlan.actors.commit import Committing, Decided, Failed
from aurora_atlan.actors.errors import AlreadyDecidedError, QueueFullError, TooManyInFlightError, UnknownEventError
from aurora_atlan.actors.messages import Batch, BookTickets, JobState, JobStatus
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.job_ids import shard_of_job
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Job, Reason
from aurora_atlan.supervisor import Supervisor
from harness_sales import check_rows, sold, wait_decided, wait_until

Sql = psycopg.Connection[Any]
Supervise = Callable[..., Supervisor]
MakeEvent = Callable[..., int]
pytestmark = pytest.mark.usefixtures("audit_clean")


def _submit(supervisor: Supervisor, event_id: int, users: list[int], quantity: int = 1) -> list[UUID]:
    return [supervisor.submit(BookTickets(event_id, user_id, quantity)).job_id for user_id in users]


def _final(supervisor: Supervisor, job_id: UUID) -> JobStatus:
    def told() -> JobStatus | None:
        status = supervisor.status(job_id)
        return status if status is not None and status.queue_position == 0 else None

    status: JobStatus = wait_until(told, 10, "the outcome is told")
    return status


def _reasons(supervisor: Supervisor, jobs: list[UUID]) -> list[Reason | None]:
    return [_final(supervisor, job_id).reason for job_id in jobs]


def _order(sql: Sql, event_id: int) -> list[UUID]:
    rows = sql.execute(
        "SELECT job_id FROM booking_ledger WHERE event_id = %s AND job_id IS NOT NULL ORDER BY entry_number",
        (event_id,),
    )
    return [job_id for (job_id,) in rows.fetchall()]


# Selling.


def test_the_first_come_get_the_seats(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Sold out exactly, in the order of acceptance, and everybody has one answer."""
    event_id = make_event(capacity=60)

    jobs = _submit(supervisor, event_id, buyers)

    assert _reasons(supervisor, jobs) == [None] * 60 + [Reason.SOLD_OUT] * 40
    assert _order(sql, event_id) == jobs
    assert sold(database_url, event_id) == 60


class _HostsUUID(UUID):
    """As a driver of the host's may give ids."""


def test_an_id_may_be_of_a_class_of_the_hosts(supervisor: Supervisor, make_event: MakeEvent, buyers: list[int]) -> None:
    """A job is found by it as by any other."""
    receipt = supervisor.submit(BookTickets(make_event(), buyers[0]))
    own = _HostsUUID(int=receipt.job_id.int)

    assert supervisor.wait(own, 10.0).job_id == receipt.job_id
    status = supervisor.status(own)
    assert status is not None
    assert status.finished
    with pytest.raises(AlreadyDecidedError):
        supervisor.withdraw(own)


def test_sixty_four_events_at_once(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Each is decided in its own order, and each is sold out exactly."""
    events = [make_event(capacity=3) for _ in range(64)]
    barrier = threading.Barrier(8)
    accepted: list[Any] = []

    def buy(number: int) -> None:
        barrier.wait(10)
        accepted.extend(supervisor.submit(BookTickets(event_id, buyers[number])) for event_id in events)

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    jobs = [receipt.job_id for receipt in accepted]
    wait_decided(database_url, jobs)

    check_rows(database_url, accepted=jobs)
    assert sql.execute("SELECT min(sold), max(sold) FROM event_inventory").fetchone() == (3, 3)
    assert Counter(_reasons(supervisor, jobs)) == {None: 192, Reason.SOLD_OUT: 320}


def test_a_receipt_says_how_many_are_ahead(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql]
) -> None:
    """While nothing is decided, each is one further behind; numbers begin at 1."""
    event_id = make_event()
    stranger = hold_row(event_id)

    receipts = [supervisor.submit(BookTickets(event_id, user_id)) for user_id in buyers[:5]]
    stranger.rollback()

    assert [receipt.queue_position for receipt in receipts] == [1, 2, 3, 4, 5]
    assert [receipt.queue_number for receipt in receipts] == [1, 2, 3, 4, 5]
    # Redis would keep them, but the tests' PostgreSQL syncs nothing.
    assert {receipt.durability for receipt in receipts} == {"none"}
    assert all(abs(receipt.accepted_at - datetime.now(UTC)) < timedelta(minutes=1) for receipt in receipts)
    assert [shard_of_job(receipt.job_id) for receipt in receipts] == [event_id % 64] * 5


def test_accepting_does_not_wait_for_the_sale(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql], database_url: str
) -> None:
    """While a stranger holds the event's row bookings are accepted, and other events are decided."""
    held, other = make_event(capacity=100), make_event(capacity=100)
    stranger = hold_row(held)

    waiting = _submit(supervisor, held, buyers)
    decided = _submit(supervisor, other, buyers)

    wait_decided(database_url, decided)
    stranger.rollback()
    wait_decided(database_url, waiting)


def test_a_refusal_says_why(supervisor: Supervisor, make_event: MakeEvent, buyers: list[int]) -> None:
    """The same user again and again is told what stands in the way."""
    never = {"opens_at": datetime(2999, 1, 1, tzinfo=UTC)}
    over = {"closes_at": datetime(2020, 1, 1, tzinfo=UTC)}
    expected: list[tuple[dict[str, Any], int, list[Reason | None]]] = [
        ({}, 1, [None, Reason.ALREADY_BOOKED]),
        ({"cap_per_user": 2}, 1, [None, None, Reason.LIMIT_REACHED]),
        ({"cap_per_user": 9}, 2, [None, None, Reason.SOLD_OUT]),
        (never, 1, [Reason.EVENT_CLOSED]),
        (over, 1, [Reason.EVENT_CLOSED]),
    ]

    for event, quantity, reasons in expected:
        event_id = make_event(capacity=5, **event)
        jobs = _submit(supervisor, event_id, [buyers[0]] * len(reasons), quantity)
        assert _reasons(supervisor, jobs) == reasons


def test_jobs_of_an_event_that_is_gone_are_told_so(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], sql: Sql, hold_row: Callable[[int], Sql]
) -> None:
    """Accepted before it was deleted, decided after."""
    event_id = make_event()
    stranger = hold_row(event_id)
    jobs = _submit(supervisor, event_id, buyers[:3])

    stranger.execute("UPDATE event_inventory SET gone = true WHERE event_id = %s", (event_id,))
    stranger.commit()

    assert _reasons(supervisor, jobs) == [Reason.EVENT_GONE] * 3


def test_jobs_expire_only_where_an_age_is_set(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql]
) -> None:
    """With a limit, what waited longer is refused; by default nothing is ever too old."""
    event_id = make_event()
    hurried = supervise(job_max_age_s=0.05)
    stranger = hold_row(event_id)
    [job_id] = _submit(hurried, event_id, buyers[:1])
    asked_at = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) - asked_at > timedelta(seconds=0.1), 5, "it has waited too long")
    stranger.rollback()

    assert _final(hurried, job_id).reason is Reason.EXPIRED


# Refusing at the door.


def test_an_unknown_event_leaves_no_trace(supervisor: Supervisor, redis_client: redis.Redis, sql: Sql) -> None:
    """Neither a cell nor a key nor a row, whatever number is asked for, keyed or not."""
    for event_id in (1, 0, -1, 999_999, 2**63, 2**70, -(2**70)):
        for key in (None, "key"):
            with pytest.raises(UnknownEventError):
                supervisor.submit(BookTickets(event_id, 1, 1, key))

    assert supervisor._cells.count() == 0
    assert redis_client.keys() == []
    assert sql.execute("SELECT count(*) FROM booking_ledger").fetchone() == (0,)


def test_a_full_queue_refuses_until_jobs_are_decided(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """The limit is the event's; another event goes on, and nothing accepted is lost."""
    supervisor = supervise(queue_depth_max=5)
    full, other = make_event(capacity=100), make_event()
    supervisor.pause(full)
    jobs = _submit(supervisor, full, buyers[:5])

    with pytest.raises(QueueFullError):
        supervisor.submit(BookTickets(full, buyers[5]))
    jobs += _submit(supervisor, other, buyers[5:6])
    supervisor.resume(full)
    wait_decided(database_url, jobs)
    wait_until(lambda: supervisor.status(jobs[4]).queue_position == 0, 5, "the queue is empty")

    wait_decided(database_url, _submit(supervisor, full, buyers[6:8]))


def test_a_user_has_only_so_many_waiting(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Others are accepted meanwhile, and so is he when his jobs are decided."""
    supervisor = supervise(user_jobs_in_flight_max=2)
    event_id = make_event()
    supervisor.pause(event_id)
    jobs = _submit(supervisor, event_id, [buyers[0]] * 2)

    with pytest.raises(TooManyInFlightError):
        supervisor.submit(BookTickets(event_id, buyers[0]))
    jobs += _submit(supervisor, event_id, buyers[1:2])
    supervisor.resume(event_id)
    assert _reasons(supervisor, jobs) == [None, Reason.ALREADY_BOOKED, None]

    assert _reasons(supervisor, _submit(supervisor, event_id, buyers[:1])) == [Reason.ALREADY_BOOKED]


# Memory and log.


def test_a_job_replayed_by_hand_is_decided_once(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    redis_client: redis.Redis,
    sql: Sql,
    database_url: str,
) -> None:
    """A job that stands in the stream again, under a new number, keeps its answer and gets no second booking."""
    event_id = make_event()
    receipt = supervisor.submit(BookTickets(event_id, buyers[0]))
    _final(supervisor, receipt.job_id)
    tag = f"{{aa:{event_id % 64:02d}}}:"
    entry = {"job": str(receipt.job_id), "user": buyers[0], "quantity": 1, "accepted": 1, "request": ""}
    redis_client.xadd(f"{tag}event:{event_id}:jobs", entry, id="2-0")
    redis_client.hset(f"{tag}event:{event_id}:meta", "next", 3)
    redis_client.zadd(f"{tag}pending", {str(event_id): 1})

    last = "SELECT last_queue_number FROM event_inventory"
    wait_until(lambda: sql.execute(last).fetchone() == (2,), 10, "the replay was met")

    assert sql.execute("SELECT count(*) FROM bookings").fetchone() == (1,)
    assert _order(sql, event_id) == [receipt.job_id]
    wait_decided(database_url, _submit(supervisor, event_id, buyers[1:2]))


def test_what_waits_in_the_log_is_decided_at_the_next_start(
    supervise: Supervise,
    make_event: MakeEvent,
    buyers: list[int],
    enqueue: Callable[..., Job],
    sql: Sql,
    database_url: str,
) -> None:
    """Jobs that a killed process accepted are found by themselves, and decided in their order."""
    events = [make_event(capacity=100) for _ in range(3)]
    jobs = {event_id: [enqueue(event_id, user_id).job_id for user_id in buyers[:30]] for event_id in events}

    supervise(batch_max=4)

    for event_id in events:
        wait_decided(database_url, jobs[event_id])
        assert _order(sql, event_id) == jobs[event_id]


def test_small_batches_keep_the_order_of_a_long_queue(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """What does not fit into memory is read from the log in its turn."""
    supervisor = supervise(batch_max=3, user_jobs_in_flight_max=1000)
    event_id = make_event(capacity=300, cap_per_user=100)

    jobs = _submit(supervisor, event_id, buyers * 3)
    wait_decided(database_url, jobs)

    assert _order(sql, event_id) == jobs


def test_jobs_in_memory_are_decided_although_redis_lost_them(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    redis_client: redis.Redis,
    hold_row: Callable[[int], Sql],
    sql: Sql,
    database_url: str,
) -> None:
    """Redis is emptied while a batch waits for its row: what this process has in memory is decided all the same."""
    event_id = make_event(capacity=100)
    stranger = hold_row(event_id)
    jobs = _submit(supervisor, event_id, buyers[:20])
    cell = supervisor._cells.get(event_id)
    assert cell is not None
    actor = cell.ref._actor_weakref()
    wait_until(lambda: _in_memory(actor) == set(jobs), 5, "all are in memory")

    redis_client.flushall()
    stranger.rollback()
    wait_decided(database_url, jobs)

    assert _order(sql, event_id) == jobs


def test_a_job_that_takes_its_time_is_shown_as_being_processed(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql], database_url: str
) -> None:
    """Those in the batch in flight are; one that was accepted later waits."""
    event_id = make_event(capacity=100)
    stranger = hold_row(event_id)
    first = supervisor.submit(BookTickets(event_id, buyers[0])).job_id

    def state(job_id: UUID) -> JobState:
        status = supervisor.status(job_id)
        assert status is not None
        return status.status

    wait_until(lambda: state(first) is JobState.PROCESSING, 5, "it is shown as being processed")
    later = supervisor.submit(BookTickets(event_id, buyers[1])).job_id
    assert state(later) is JobState.QUEUED

    stranger.rollback()
    wait_decided(database_url, [first, later])


def _in_memory(actor: Any) -> set[UUID]:
    # A job that was read from the log just before it was told of is there twice.
    batch = actor._in_flight
    groups = [actor._pending, batch.jobs if batch is not None else (), *actor._cell._kept]
    return {job.job_id for group in groups for job in group}


def test_numbers_go_on_above_the_last_decided_after_redis_was_emptied(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    redis_client: redis.Redis,
    sql: Sql,
    database_url: str,
) -> None:
    """No number is given twice, by this process or by one that has seen none of them."""
    event_id = make_event(capacity=100)
    jobs = _submit(supervisor, event_id, buyers[:10])
    wait_decided(database_url, jobs)
    wait_until(lambda: supervisor.status(jobs[-1]).queue_position == 0, 5, "the last one is finished")

    redis_client.flushall()
    receipt = supervisor.submit(BookTickets(event_id, buyers[10]))

    assert receipt.queue_number == 11
    assert receipt.queue_position == 1
    wait_decided(database_url, [receipt.job_id])
    kinds = sql.execute("SELECT kind FROM booking_ledger WHERE kind = 'queue_restarted'").fetchall()
    assert kinds == []


def test_a_fresh_process_over_an_emptied_redis_numbers_above_postgresql(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], redis_client: redis.Redis, database_url: str
) -> None:
    """PostgreSQL remembers where the numbers stood."""
    first = supervise()
    event_id = make_event(capacity=100)
    wait_decided(database_url, _submit(first, event_id, buyers[:10]))
    first.stop()
    redis_client.flushall()

    receipt = supervise().submit(BookTickets(event_id, buyers[10]))

    assert receipt.queue_number == 11


def test_a_queue_that_went_back_is_decided_after_an_entry_that_says_so(
    supervise: Supervise,
    make_event: MakeEvent,
    buyers: list[int],
    jobs: JobStore,
    enqueue: Callable[..., Job],
    redis_client: redis.Redis,
    sql: Sql,
    database_url: str,
) -> None:
    """Undecided jobs with numbers that were used before are decided in stream order, once the ledger says why."""
    event_id = make_event(capacity=100)
    first = [enqueue(event_id, user_id).job_id for user_id in buyers[:5]]
    supervisor = supervise()
    wait_decided(database_url, first)
    supervisor.stop()
    redis_client.flushall()
    second = [enqueue(event_id, user_id).job_id for user_id in buyers[5:8]]

    supervise()
    wait_decided(database_url, second)

    assert _order(sql, event_id) == first + second
    kinds = [kind for (kind,) in sql.execute("SELECT kind FROM booking_ledger ORDER BY entry_number").fetchall()]
    assert kinds == ["opened"] + ["confirmed"] * 5 + ["queue_restarted"] + ["confirmed"] * 3


def test_scripts_may_be_forgotten_during_a_sale(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    redis_client: redis.Redis,
    sql: Sql,
    database_url: str,
) -> None:
    """SCRIPT FLUSH costs nothing but a moment: bookings and decisions go on in their order."""
    event_id = make_event(capacity=100)
    jobs = []
    for first in range(0, 30, 10):
        redis_client.script_flush()
        jobs += _submit(supervisor, event_id, buyers[first : first + 10])
        wait_decided(database_url, jobs)

    assert _order(sql, event_id) == jobs


# Poison.


def test_a_poisoned_job_fails_and_its_neighbours_are_decided_in_order(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """A user that does not exist violates a foreign key: his job is the dead letter, first, amid or last in a batch."""
    for place in (0, 3, 7):
        event_id = make_event(capacity=100)
        supervisor.pause(event_id)
        users = buyers[:7]
        users.insert(place, 2**40 + place)
        jobs = _submit(supervisor, event_id, users)
        supervisor.resume(event_id)
        wait_decided(database_url, jobs)

        assert _order(sql, event_id) == jobs
        status = _final(supervisor, jobs[place])
        assert (status.status, status.reason, status.attempts) == (JobState.FAILED, Reason.POISON, 4)
        failed = sql.execute(
            "SELECT job_id, reason, user_id FROM booking_ledger WHERE kind = 'failed' AND event_id = %s", (event_id,)
        ).fetchall()
        assert failed == [(jobs[place], "poison", 2**40 + place)]
        assert _reasons(supervisor, jobs[:place] + jobs[place + 1 :]) == [None] * 7


def test_a_poisoned_job_alone_fails_after_three_tries(
    supervisor: Supervisor, make_event: MakeEvent, sql: Sql, buyers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three transactions alone, then the entry; the event goes on selling."""
    event_id = make_event()
    tries = []
    commit = supervisor._committing.commit
    monkeypatch.setattr(
        supervisor._committing, "commit", lambda batches, **how: (tries.append(batches), commit(batches, **how))[1]
    )

    [job_id] = _submit(supervisor, event_id, [2**40])

    assert _final(supervisor, job_id).reason is Reason.POISON
    assert len(tries) == 4
    assert _reasons(supervisor, _submit(supervisor, event_id, buyers[:2])) == [None, None]


@pytest.mark.parametrize("quantity", [0, -1])
def test_a_quantity_that_is_none_harms_nobody(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    enqueue: Callable[..., Job],
    database_url: str,
    quantity: int,
) -> None:
    """However it came into the queue, it neither books nor frees a seat, and the others are decided."""
    event_id = make_event(capacity=2)
    supervisor.pause(event_id)
    jobs = _submit(supervisor, event_id, buyers[:1])
    poison = enqueue(event_id, buyers[50], quantity)
    jobs += _submit(supervisor, event_id, buyers[1:3])
    supervisor.resume(event_id)

    assert _reasons(supervisor, jobs) == [None, None, Reason.SOLD_OUT]
    assert _final(supervisor, poison.job_id).reason is Reason.POISON
    assert sold(database_url, event_id) == 2


def test_an_event_whose_part_cannot_be_encoded_is_left_out_of_the_transaction(
    bookings: BookingStore,
    make_event: MakeEvent,
    buyers: list[int],
    enqueue: Callable[..., Job],
    batch_of: Callable[..., Batch],
) -> None:
    """One event's data never stops the committer: the others in its transaction are decided."""
    event_id, other = make_event(), make_event()
    committing = Committing(bookings, owner=101, lease_s=60.0, job_age_max=None)
    impossible = batch_of(enqueue(event_id, buyers[0])._replace(quantity=2**70))
    ordinary = batch_of(enqueue(other, buyers[0]))

    verdicts = committing.commit([impossible, ordinary], patient=False)

    assert {verdict.batch.event_id: type(verdict) for verdict in verdicts} == {event_id: Failed, other: Decided}


def test_poison_in_one_event_does_not_hold_up_another(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Events that shared a transaction with it are decided normally."""
    events = [make_event(capacity=100) for _ in range(6)]
    supervisor.pause()
    jobs = [_submit(supervisor, event_id, [*buyers[:5], 2**40, *buyers[5:9]]) for event_id in events[:2]]
    jobs += [_submit(supervisor, event_id, buyers[:10]) for event_id in events[2:]]
    supervisor.resume()

    for event_id, submitted in zip(events, jobs, strict=True):
        wait_decided(database_url, submitted)
        assert _order(sql, event_id) == submitted
    assert sql.execute("SELECT count(*) FROM booking_ledger WHERE kind = 'failed'").fetchone() == (2,)


# Passivation and the cap.


def test_an_idle_actor_goes_away_and_the_next_job_brings_it_back(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], sql: Sql, database_url: str
) -> None:
    """Its lease is given up, its queue is kept, and numbers go on."""
    supervisor = supervise(actor_idle_s=0.05, sweep_s=0.05)
    event_id = make_event()
    wait_decided(database_url, _submit(supervisor, event_id, buyers[:2]))
    cell = supervisor._cells.get(event_id)
    assert cell is not None
    wait_until(lambda: not cell.alive, 5, "the actor is gone")
    owner = "SELECT owner FROM event_inventory"
    wait_until(lambda: sql.execute(owner).fetchone() == (None,), 5, "the lease is given up")

    receipt = supervisor.submit(BookTickets(event_id, buyers[2]))

    wait_decided(database_url, [receipt.job_id])
    assert receipt.queue_number == 3
    assert cell.generation == 2


def test_passivation_that_races_with_bookings_loses_none(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Actors that go away all the time, while jobs come in: each is decided, once and in order."""
    supervisor = supervise(actor_idle_s=0.001, sweep_s=0.002)
    events = [make_event(capacity=200, cap_per_user=50) for _ in range(20)]
    accepted: list[UUID] = []
    barrier = threading.Barrier(4)

    def buy(number: int) -> None:
        barrier.wait(10)
        for turn in range(15):
            for event_id in events:
                accepted.extend(_submit(supervisor, event_id, [buyers[(number * 15 + turn) % 100]]))

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(accepted) == 1200
    wait_decided(database_url, accepted)
    check_rows(database_url, accepted=accepted)
    generations = [supervisor._cells.get_or_make(event_id).generation for event_id in events]
    assert max(generations) > 1, "no passivation was reached"


def test_more_events_than_actors_are_all_decided(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Forty events take turns with four actors, and never are there more."""
    supervisor = supervise(actors_max=4, sweep_s=0.02)
    events = [make_event(capacity=100) for _ in range(40)]
    most = 0
    jobs = []
    for event_id in events:
        jobs += _submit(supervisor, event_id, buyers[:3])
        most = max(most, len(supervisor._cells.alive()))

    def all_decided() -> bool:
        nonlocal most
        most = max(most, len(supervisor._cells.alive()))
        return all(supervisor.status(job_id).queue_position == 0 for job_id in (jobs[0], jobs[-1]))

    wait_until(all_decided, 20, "the first and the last are decided")
    wait_decided(database_url, jobs, timeout_s=20.0)
    assert most <= 4
    check_rows(database_url, accepted=jobs)


def test_an_actor_with_work_is_not_pushed_out(
    supervise: Supervise, make_event: MakeEvent, buyers: list[int], hold_row: Callable[[int], Sql], database_url: str
) -> None:
    """Over the cap idle ones go; one whose batch waits for its row stays until it is decided."""
    supervisor = supervise(actors_max=2, sweep_s=0.02)
    held, *others = [make_event(capacity=100) for _ in range(6)]
    stranger = hold_row(held)
    waiting = _submit(supervisor, held, buyers[:1])
    cell = wait_until(lambda: supervisor._cells.get(held), 5, "the event is known")
    wait_until(lambda: cell.alive, 5, "its actor lives")

    for event_id in others:
        wait_decided(database_url, _submit(supervisor, event_id, buyers[:2]))

    assert cell.generation == 1
    assert cell.alive
    stranger.rollback()
    wait_decided(database_url, waiting)


# Health.


def test_health_counts_what_is_there(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Ready, with both stores connected, the durability of the queue and the actors alive."""
    wait_decided(database_url, _submit(supervisor, make_event(), buyers[:1]))

    report = supervisor.health()

    assert report.ready
    assert not report.degraded
    assert {name: part.ok for name, part in report.components.items()} == {
        "redis": True,
        "postgresql": True,
        "actors": True,
    }
    assert report.components["redis"].values["durability"] == "always"
    assert report.components["actors"].values["alive"] == 1
