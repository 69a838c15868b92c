"""The planted bugs: each takes one safeguard out of the real classes, as long as its block runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import monotonic
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg
import redis

from aurora_atlan.actors import commit as commit_module
from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.commit import Committing, Decided, Verdict
from aurora_atlan.actors.committer import _finish
from aurora_atlan.actors.decide import Facts, Ruling, decide
from aurora_atlan.actors.journal import JournalActor
from aurora_atlan.actors.messages import AcceptJob, Batch, JobStatus
from aurora_atlan.actors.status import StatusDesk, recorded_status
from aurora_atlan.persistence import inventory
from aurora_atlan.persistence.bookings import RecordedJob
from aurora_atlan.persistence.errors import StoreTimeoutError
from aurora_atlan.persistence.inventory import EncodedChange, Locked, Reading, UnitOfWork
from aurora_atlan.persistence.job_ids import random_job_id, shard_of_event
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.records import Inventory, Job, Kind
from aurora_atlan.persistence.redis_clients import patient_client
from oracle.sale import Sale


@contextmanager
def no_for_update(_sale: Sale) -> Iterator[None]:
    """Read the inventory row without locking it."""
    query = inventory._SQL["lock_inventory"]
    assert query.count(b"FOR UPDATE OF inventory") == 1
    unlocked = query.replace(b"FOR UPDATE OF inventory", b"")
    with patch.object(inventory, "_SQL", {**inventory._SQL, "lock_inventory": unlocked}):
        yield


@contextmanager
def no_outcome_row_for_rejections(_sale: Sale) -> Iterator[None]:
    """Write no ledger entry for a refusal."""

    def forgetful(row: Inventory, jobs: Sequence[Job], facts: Facts) -> Ruling:
        ruling = decide(row, jobs, facts)
        entries = [entry for entry in ruling.change.entries if entry.kind is not Kind.REJECTED]
        return ruling._replace(change=ruling.change._replace(entries=entries))

    with patch.object(commit_module, "decide", forgetful):
        yield


@contextmanager
def no_dedupe(_sale: Sale) -> Iterator[None]:
    """Never look whether a job has its answer."""
    read = UnitOfWork.read

    def blind(work: UnitOfWork, *arguments: Any) -> Reading:
        return replace(read(work, *arguments), outcomes={})

    with patch.object(UnitOfWork, "read", blind):
        yield


@contextmanager
def finish_before_commit(sale: Sale) -> Iterator[None]:
    """Take decided jobs out of the queue while their transaction is still open."""
    client = patient_client(sale.settings)
    jobs = JobStore(client, depth_max=1000, user_jobs_max=1000, ttl_s=60)
    ruled = Committing._decide

    def hasty(committing: Committing, work: UnitOfWork, claims: Any) -> list[Verdict]:
        verdicts = ruled(committing, work, claims)
        decided = [verdict for verdict in verdicts if isinstance(verdict, Decided)]
        jobs.finish([_finish(verdict, monotonic()) for verdict in decided])
        return verdicts

    with client, patch.object(Committing, "_decide", hasty):
        yield


@contextmanager
def no_epoch_check(_sale: Sale) -> Iterator[None]:
    """Let a batch of an older epoch through."""
    claimed = Committing._claim

    def trusting(committing: Committing, batch: Batch, row: Locked | None, *, patient: bool) -> Any:
        if row is not None and batch.epoch is not None:
            batch = replace(batch, epoch=row.inventory.epoch)
        return claimed(committing, batch, row, patient=patient)

    with patch.object(Committing, "_claim", trusting):
        yield


@contextmanager
def swallowed_unique_violation(_sale: Sale) -> Iterator[None]:
    """Go on after a unique violation, and COMMIT the aborted transaction: a silent ROLLBACK."""
    record = UnitOfWork.record

    def unworried(work: UnitOfWork, changes: Sequence[EncodedChange]) -> None:
        with suppress(psycopg.errors.UniqueViolation):
            record(work, changes)

    with patch.object(UnitOfWork, "record", unworried):
        yield


@contextmanager
def retried_append(_sale: Sale) -> Iterator[None]:
    """Append once more, as something new, when Redis did not answer in time."""
    enqueue = JournalActor._enqueue

    def stubborn(journal: JournalActor, gathered: Sequence[AcceptJob]) -> Any:
        try:
            return enqueue(journal, gathered)
        except StoreTimeoutError:
            return enqueue(journal, [_as_new(message) for message in gathered])

    with patch.object(JournalActor, "_enqueue", stubborn):
        yield


@contextmanager
def jobs_dropped_on_crash(sale: Sale) -> Iterator[None]:
    """Let the jobs that an actor has in memory leave the queue when it crashes."""
    died = BookingActor.died
    assert sale.settings.redis_url is not None
    with redis.Redis.from_url(sale.settings.redis_url) as client:

        def careless(actor: BookingActor, error: BaseException | None) -> None:
            event_id = actor._cell.event_id
            for job in actor._pending:
                client.xdel(f"{{aa:{shard_of_event(event_id):02d}}}:event:{event_id}:jobs", f"{job.queue_number}-0")
            died(actor, error)

        with patch.object(BookingActor, "died", careless):
            yield


@contextmanager
def reply_before_commit(_sale: Sale) -> Iterator[None]:
    """Answer whoever asks as soon as it is decided, committed or not."""
    ruled, status = Committing._decide, StatusDesk.status
    early: dict[UUID, JobStatus] = {}

    def talkative(committing: Committing, work: UnitOfWork, claims: Any) -> list[Verdict]:
        verdicts = ruled(committing, work, claims)
        for verdict in verdicts:
            if isinstance(verdict, Decided):
                early.update(_early_answers(verdict))
        return verdicts

    def answered(desk: StatusDesk, job_id: UUID) -> JobStatus | None:
        return early.get(job_id) or status(desk, job_id)

    with patch.object(Committing, "_decide", talkative), patch.object(StatusDesk, "status", answered):
        yield


@contextmanager
def catch_up_skipped(_sale: Sale) -> Iterator[None]:
    """Take a job whose number is not the next one without reading what lies before it."""
    take = BookingActor._take

    def hurried(actor: BookingActor, job: Job) -> None:
        actor._expected = max(actor._expected, job.queue_number)
        take(actor, job)

    with patch.object(BookingActor, "_take", hurried):
        yield


def _as_new(message: AcceptJob) -> AcceptJob:
    return replace(message, job=message.job._replace(job_id=random_job_id(message.job.event_id)))


def _early_answers(verdict: Decided) -> Iterator[tuple[UUID, JobStatus]]:
    for job, outcome in zip(verdict.batch.jobs, verdict.outcomes, strict=True):
        recorded = RecordedJob(
            job.event_id, job.user_id, job.quantity, job.queue_number, job.accepted_at, outcome, None
        )  # fmt: skip
        yield job.job_id, recorded_status(job.job_id, recorded)
