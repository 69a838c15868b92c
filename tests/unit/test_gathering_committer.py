"""The committer, with transactions that end as the test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from aurora_atlan.actors.commit import Decided, Failed, Fenced, Foreign, NoSuchEvent, Paused, RowBusy, Verdict
from aurora_atlan.actors.committer import CommitterActor
from aurora_atlan.actors.messages import (
    Batch,
    BatchDecided,
    BatchFailed,
    BatchFenced,
    BatchForeign,
    BatchPaused,
    HandIn,
    ReleaseLease,
)
from aurora_atlan.persistence.errors import (
    DataError,
    LockNotGrantedError,
    NoConnectionFreeError,
    SchemaError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
    TransientError,
)
from aurora_atlan.persistence.jobs import Finish
from aurora_atlan.persistence.records import Reason
from booking_fakes import FakeSwitchboard, Recorder, a_job, an_outcome, numbers, pump
from harness_sales import wait_until

_Transaction = Callable[[Sequence[Batch]], list[Verdict]]


def decided(batches: Sequence[Batch]) -> list[Verdict]:
    """Commit everything."""
    return [
        Decided(batch, 5, batch.jobs[-1].queue_number, [an_outcome(job.queue_number) for job in batch.jobs])
        for batch in batches
    ]


def failing(error: Exception, *, of_event: int | None = None) -> _Transaction:
    """Fail, always or when this event takes part."""

    def fail(batches: Sequence[Batch]) -> list[Verdict]:
        if of_event is None or of_event in [batch.event_id for batch in batches]:
            raise error
        return decided(batches)

    return fail


def verdict_of(event_id: int, verdict: Callable[[Batch], Verdict]) -> _Transaction:
    """Commit everything but this event's batch, which gets the verdict."""

    def rule(batches: Sequence[Batch]) -> list[Verdict]:
        return [verdict(batch) if batch.event_id == event_id else decided([batch])[0] for batch in batches]

    return rule


class _Committing:
    def __init__(self) -> None:
        self.transactions: list[list[int]] = []
        # The events whose rows were waited for.
        self.waited_for: list[int] = []
        # What becomes of the next transactions; decided when nothing is lined up.
        self.next: list[_Transaction] = []
        self.always: _Transaction = decided

    def commit(self, batches: Sequence[Batch], *, patient: bool) -> list[Verdict]:
        self.transactions.append(sorted(batch.event_id for batch in batches))
        self.waited_for += [batch.event_id for batch in batches if patient]
        return (self.next.pop(0) if self.next else self.always)(batches)


class _Jobs:
    def __init__(self) -> None:
        self.finished: list[Finish] = []
        self.failing: list[StoreError] = []

    def finish(self, finishes: Sequence[Finish]) -> None:
        if self.failing:
            raise self.failing.pop(0)
        self.finished += finishes


class _Bookings:
    def __init__(self) -> None:
        self.released: list[tuple[int, int]] = []

    def release_leases(self, leases: Sequence[tuple[int, int]]) -> None:
        self.released += leases


class _Stage:
    def __init__(self, *, patient: bool = False, jobs_max: int = 1000) -> None:
        self.board = FakeSwitchboard()
        self.committing, self.jobs, self.bookings = _Committing(), _Jobs(), _Bookings()
        self.sender = Recorder()
        self.ids = iter(range(1, 1000))
        self.actor = CommitterActor(
            self.board,  # type: ignore[arg-type]
            self.committing,  # type: ignore[arg-type]
            self.bookings,  # type: ignore[arg-type]
            self.jobs,  # type: ignore[arg-type]
            lambda error: None,
            jobs_max=jobs_max,
            patient=patient,
        )

    def batch(self, event_id: int, *jobs: int) -> Batch:
        return self._batch(event_id, jobs or (1,), handed_in_at=0.0)

    def fresh_batch(self, event_id: int) -> Batch:
        return self._batch(event_id, (1,), handed_in_at=time.monotonic())

    def _batch(self, event_id: int, jobs: Sequence[int], *, handed_in_at: float) -> Batch:
        made = [a_job(number, event_id=event_id) for number in jobs]
        return Batch(
            next(self.ids),
            event_id,
            None,
            made,
            frozenset(),
            1,
            handed_in_at,
            self.sender,  # type: ignore[arg-type]
        )

    def hand_in(self, *batches: Batch) -> None:
        for batch in batches:
            self.actor.actor_ref.tell(HandIn(batch))
        pump(self.actor)

    def time_passes(self) -> None:
        """Tell what was scheduled."""
        self.board.scheduler.tell_all()
        pump(self.actor)

    def decided_ids(self) -> list[int]:
        return [answer.batch_id for answer in self.sender.of(BatchDecided)]


@pytest.fixture
def stage() -> _Stage:
    return _Stage()


@pytest.fixture
def patient() -> _Stage:
    return _Stage(patient=True)


def test_the_batches_of_all_events_go_in_one_transaction(stage: _Stage) -> None:
    """What waits is decided together, finished, and each event's actor told."""
    batches = [stage.batch(7, 1, 2), stage.batch(8, 5)]

    stage.hand_in(*batches)

    assert stage.committing.transactions == [[7, 8]]
    assert {(finish.event_id, finish.last_decided) for finish in stage.jobs.finished} == {(7, 2), (8, 5)}
    assert set(stage.sender.told) == {BatchDecided(1, 5, 2), BatchDecided(2, 5, 5)}


def test_two_batches_of_one_event_take_two_transactions_in_their_order(stage: _Stage) -> None:
    """An event takes part in a transaction once; its second batch follows in the next."""
    stage.hand_in(stage.batch(7, 1), stage.batch(8, 1), stage.batch(7, 2))

    assert stage.committing.transactions == [[7, 8], [7]]
    assert [numbers([job.job for job in finish.jobs]) for finish in stage.jobs.finished] == [[1], [1], [2]]


def test_the_same_batch_handed_in_twice_counts_once(stage: _Stage) -> None:
    """A repetition after a crash makes no second transaction in the same round."""
    batch = stage.batch(7, 1)

    stage.hand_in(batch, batch)

    assert stage.committing.transactions == [[7]]
    assert len(stage.sender.told) == 1


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [(Paused, BatchPaused), (Fenced, BatchFenced), (Foreign, BatchForeign)],
)
def test_an_event_that_was_left_out_is_told_why(stage: _Stage, verdict: type, answer: type) -> None:
    """Nothing was decided, nothing is finished, and the actor hears what stands in its way."""
    stage.committing.next.append(verdict_of(7, verdict))

    stage.hand_in(stage.batch(7), stage.batch(8))

    assert set(stage.sender.told) == {answer(1), BatchDecided(2, 5, 1)}
    assert [finish.event_id for finish in stage.jobs.finished] == [8]


def test_a_batch_whose_own_data_cannot_be_decided_is_handed_back(stage: _Stage) -> None:
    """One event's trouble is told to its actor, and the others are decided in the same transaction."""
    stage.committing.next.append(verdict_of(7, lambda batch: Failed(batch, "boom")))

    stage.hand_in(stage.batch(7), stage.batch(8))

    assert set(stage.sender.told) == {BatchFailed(1, "boom"), BatchDecided(2, 5, 1)}


@pytest.mark.parametrize("error", [DataError("violates"), TransientError("deadlock"), LockNotGrantedError("55P03")])
def test_a_transaction_that_one_event_spoils_is_repeated_event_by_event(stage: _Stage, error: StoreError) -> None:
    """The event at fault fails alone, and harms no other."""
    stage.committing.always = failing(error, of_event=8)

    stage.hand_in(stage.batch(7), stage.batch(8), stage.batch(9))

    assert stage.committing.transactions[0] == [7, 8, 9]
    assert sorted(stage.committing.transactions[1:]) == [[7], [8], [9]]
    assert sorted(stage.decided_ids()) == [1, 3]


def test_data_that_is_refused_alone_is_told_to_its_actor(stage: _Stage) -> None:
    """A batch whose data PostgreSQL refuses goes back to be halved."""
    stage.committing.next.append(failing(DataError("violates")))

    stage.hand_in(stage.batch(7))

    assert stage.sender.told == [BatchFailed(1, "violates")]


@pytest.mark.parametrize("trouble", [failing(LockNotGrantedError("55P03")), failing(TransientError("40P01"))])
def test_a_lock_not_granted_alone_goes_to_the_patient(stage: _Stage, trouble: _Transaction) -> None:
    """No job fails because of a deadlock or a lock, and nobody waits for it."""
    stage.committing.next.append(trouble)
    batch = stage.batch(7)

    stage.hand_in(batch)

    assert stage.board.patient.told == [HandIn(batch)]
    assert stage.sender.told == []


def test_a_row_that_somebody_holds_goes_to_the_patient(stage: _Stage) -> None:
    """The committer never waits for a row."""
    stage.committing.next.append(verdict_of(7, RowBusy))
    busy = stage.batch(7)

    stage.hand_in(busy, stage.batch(8))

    assert stage.board.patient.told == [HandIn(busy)]
    assert stage.decided_ids() == [2]


def test_a_row_held_for_a_moment_is_tried_again_before_the_patient_is_bothered(stage: _Stage) -> None:
    """At the patient it might queue behind an event whose row is held for long."""
    stage.committing.next.append(verdict_of(7, RowBusy))

    stage.hand_in(stage.fresh_batch(7))
    assert stage.decided_ids() == []
    stage.time_passes()

    assert stage.decided_ids() == [1]
    assert stage.board.patient.told == []
    assert stage.committing.waited_for == []


def test_while_postgresql_is_away_batches_are_kept_and_tried_again(stage: _Stage) -> None:
    """The breaker opens, the batch stays, and is decided when the time has come."""
    stage.committing.next += [failing(StoreUnavailableError("down"))] * 3

    stage.hand_in(stage.batch(7))
    assert stage.board.postgres.is_open
    for _ in range(3):
        stage.time_passes()

    assert stage.decided_ids() == [1]
    assert not stage.board.postgres.is_open


@pytest.mark.parametrize("error", [NoConnectionFreeError("full"), SchemaError("no such column")])
def test_a_full_pool_or_a_wrong_schema_is_no_outage_and_fails_no_job(stage: _Stage, error: StoreError) -> None:
    """The batch is kept and tried again, and no breaker opens."""
    stage.committing.next.append(failing(error))

    stage.hand_in(stage.batch(7))
    assert not stage.board.postgres.is_open
    assert stage.sender.told == []
    stage.time_passes()

    assert stage.decided_ids() == [1]


def test_the_pauses_between_tries_grow_up_to_a_second(stage: _Stage) -> None:
    """A database that stays away is not asked without end."""
    stage.committing.always = failing(StoreUnavailableError("down"))
    stage.hand_in(stage.batch(7))

    delays = []
    for _ in range(8):
        [(delay_s, _, _)] = stage.board.scheduler.later
        delays.append(delay_s)
        stage.time_passes()

    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_a_store_error_of_unknown_kind_crashes_the_committer(stage: _Stage) -> None:
    """Nobody guesses: the supervisor replaces it, and the actors hand in again."""
    stage.committing.next.append(failing(StoreError("XX000")))

    with pytest.raises(StoreError):
        stage.hand_in(stage.batch(7))


# Finishing in Redis.


def test_what_is_committed_is_finished_again_until_redis_takes_it(stage: _Stage) -> None:
    """While it is outstanding the event's actor is told nothing, so it hands in no new batch."""
    stage.jobs.failing.append(StoreTimeoutError("no answer"))
    stage.hand_in(stage.batch(7))
    assert stage.sender.told == []
    assert stage.board.redis.is_open

    stage.hand_in(stage.batch(8))
    assert stage.sender.told == []
    stage.board.redis.close()
    stage.hand_in()
    stage.actor.flush_soon()
    pump(stage.actor)

    assert stage.committing.transactions == [[7], [8]]
    assert sorted(stage.decided_ids()) == [1, 2]
    assert [finish.event_id for finish in stage.jobs.finished] == [7, 8]


def test_with_redis_away_decisions_go_on(stage: _Stage) -> None:
    """The outcome is committed all the same."""
    stage.board.redis.open("down")

    stage.hand_in(stage.batch(7))

    assert stage.committing.transactions == [[7]]


def test_leases_are_released_in_the_next_round(stage: _Stage) -> None:
    """Events that passivate give up their leases together, without a batch of their own."""
    stage.actor.actor_ref.tell(ReleaseLease(7, 3))
    stage.actor.actor_ref.tell(ReleaseLease(8, 4))

    pump(stage.actor)

    assert stage.bookings.released == [(7, 3), (8, 4)]
    assert stage.committing.transactions == []


def test_leases_are_released_now_and_then(stage: _Stage) -> None:
    """Where events come and go all the time, not every round has a transaction for them; none is forgotten."""
    for number in range(1, 6):
        stage.actor.actor_ref.tell(ReleaseLease(number, number))
        pump(stage.actor)
    assert stage.bookings.released == [(1, 1)]

    stage.actor._release_at = time.monotonic()
    stage.time_passes()

    assert stage.bookings.released == [(number, number) for number in range(1, 6)]


def test_a_lease_given_up_as_the_last_deed_before_the_stop_is_released(stage: _Stage) -> None:
    """The stop came into the inbox before the flush that would have released it."""
    stage.actor.actor_ref.tell(ReleaseLease(7, 3))
    stage.actor.actor_ref.stop(block=False)

    stage.actor._start_actor_loop()
    wait_until(lambda: stage.bookings.released, 5.0, "the lease is released")

    assert stage.bookings.released == [(7, 3)]


def test_a_transaction_takes_no_more_jobs_than_its_limit_and_the_rest_comes_next() -> None:
    """In the order of handing in; nobody overtakes the one that did not fit."""
    stage = _Stage(jobs_max=4)

    stage.hand_in(stage.batch(7, 1, 2, 3), stage.batch(8, 1, 2), stage.batch(9, 1), stage.batch(10, 1, 2, 3, 4, 5, 6))

    assert stage.committing.transactions == [[7], [8, 9], [10]]
    assert stage.decided_ids() == [1, 2, 3, 4]


# The patient one.


def test_the_patient_takes_one_event_at_a_time(patient: _Stage) -> None:
    """A row that does not come free keeps no other event's transaction."""
    patient.hand_in(patient.batch(7), patient.batch(8))

    assert patient.committing.transactions == [[7], [8]]


def test_the_patient_decides_whose_row_is_free_before_it_waits_for_one(patient: _Stage) -> None:
    """An event that came to it for a moment does not queue behind one whose row is held for long."""
    patient.committing.next.append(verdict_of(7, RowBusy))

    patient.hand_in(patient.batch(7), patient.batch(8))

    assert patient.committing.transactions == [[7], [8], [7]]
    assert patient.committing.waited_for == [7]


def test_a_row_that_neither_finds_is_an_event_that_is_gone(patient: _Stage) -> None:
    """Its jobs are answered event_gone, and leave the queue."""
    patient.committing.next.append(verdict_of(7, NoSuchEvent))

    patient.hand_in(patient.batch(7, 1, 2))

    [finish] = patient.jobs.finished
    assert [finished.outcome.reason for finished in finish.jobs] == [Reason.EVENT_GONE] * 2
    assert finish.last_decided == 2
    assert patient.decided_ids() == [1]


def test_the_patient_lets_others_go_first_and_tries_again(patient: _Stage) -> None:
    """A lock not granted in its time is waited for again, after the other events."""
    patient.committing.next.append(failing(LockNotGrantedError("55P03")))

    patient.hand_in(patient.batch(7), patient.batch(8))

    assert patient.committing.transactions == [[7], [8], [7]]
    assert patient.decided_ids() == [2, 1]


def test_the_patient_goes_on_waiting_for_a_row_after_an_outage(patient: _Stage) -> None:
    """A lock that is not granted after PostgreSQL came back is no reason to stop trying."""
    patient.committing.next += [
        failing(StoreUnavailableError("down")),
        failing(LockNotGrantedError("55P03")),
    ]

    patient.hand_in(patient.batch(7))
    for _ in range(3):
        patient.time_passes()

    assert patient.decided_ids() == [1]


def test_the_second_batch_of_an_event_is_not_forgotten_after_an_outage(stage: _Stage) -> None:
    """One that waited for its turn while the first went to the patient is decided."""
    stage.committing.next += [
        failing(StoreUnavailableError("down")),
        failing(LockNotGrantedError("55P03")),
    ]

    stage.hand_in(stage.batch(7, 1), stage.batch(7, 2))
    for _ in range(3):
        stage.time_passes()

    assert [message.batch.batch_id for message in stage.board.patient.of(HandIn)] == [1]
    assert stage.decided_ids() == [2]


@pytest.mark.parametrize("error", [TransientError("40P01"), NoConnectionFreeError("full")])
def test_the_patient_keeps_a_batch_through_passing_trouble(patient: _Stage, error: StoreError) -> None:
    """Deadlocks and full pools delay it, and fail no job."""
    patient.committing.next += [failing(error)] * 2

    patient.hand_in(patient.batch(7))
    for _ in range(2):
        patient.time_passes()

    assert patient.decided_ids() == [1]
