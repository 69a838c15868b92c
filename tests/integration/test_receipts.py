"""Receipts over real stores: given with every accepted attempt, and held against what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import falcon
import psycopg
import pytest
import redis

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.messages import BookTickets, JobState, Receipt
from aurora_atlan.actors.receipts import Mismatch, SignedReceipt
from aurora_atlan.config import Settings
from aurora_atlan.http.accepted import respond_accepted
from aurora_atlan.persistence.embedded import EmbeddedRedis
from aurora_atlan.persistence.receipts import Claim
from aurora_atlan.persistence.records import Reason
from aurora_atlan.supervisor import Supervisor
from harness.command_line import run_command
from harness_sales import running, wait_decided, wait_until

Sql = psycopg.Connection[Any]
MakeEvent = Callable[..., int]
pytestmark = pytest.mark.usefixtures("audit_clean")


def _signed(receipt: Receipt) -> SignedReceipt:
    assert receipt.signature is not None
    assert receipt.queue_number is not None
    claim = Claim(receipt.job_id, receipt.event_id, receipt.quantity, receipt.queue_number, receipt.accepted_at)
    return SignedReceipt(claim, receipt.signature)


def _with(receipt: SignedReceipt, **changes: Any) -> SignedReceipt:
    return replace(receipt, claim=replace(receipt.claim, **changes))


@pytest.mark.parametrize(("capacity", "reason"), [(5, None), (1, Reason.SOLD_OUT)])
def test_a_receipt_leads_to_its_outcome(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    redis_client: redis.Redis,
    database_url: str,
    capacity: int,
    reason: Reason | None,
) -> None:
    """While it waits, once it is decided, and after Redis was emptied."""
    event_id = make_event(capacity)
    supervisor.pause(event_id)
    receipt = supervisor.submit(BookTickets(event_id, buyers[0], 2))
    signed = _signed(receipt)
    waiting = supervisor.verify_receipt(signed)
    assert waiting.valid
    assert waiting.status is not None
    assert not waiting.status.finished

    supervisor.resume(event_id)
    wait_decided(database_url, [receipt.job_id])
    for _ in range(2):
        verdict = supervisor.verify_receipt(signed)
        assert verdict.valid
        assert verdict.status is not None
        assert verdict.status.finished
        assert verdict.status.reason is reason
        redis_client.flushall()


def test_a_changed_receipt_is_not_ours(supervisor: Supervisor, make_event: MakeEvent, buyers: list[int]) -> None:
    """Whatever was changed."""
    signed = _signed(supervisor.submit(BookTickets(make_event(), buyers[0])))

    for changed in (
        _with(signed, quantity=2),
        _with(signed, event_id=signed.claim.event_id + 64),
        _with(signed, queue_number=99),
        _with(signed, job_id=UUID(int=signed.claim.job_id.int ^ 1)),
        replace(signed, signature=signed.signature[::-1]),
    ):
        verdict = supervisor.verify_receipt(changed)
        assert (verdict.mismatch, verdict.status) == (Mismatch.SIGNATURE, None)


def test_a_job_that_was_lost_undecided_is_told_as_lost(
    supervise: Callable[..., Supervisor], make_event: MakeEvent, buyers: list[int], redis_client: redis.Redis
) -> None:
    """The receipt is then the only thing that knows of it."""
    supervisor = supervise()
    event_id = make_event()
    supervisor.pause(event_id)
    signed = _signed(supervisor.submit(BookTickets(event_id, buyers[0])))
    # Nobody has it in memory any more.
    supervisor.stop()
    redis_client.flushall()

    verdict = supervise().verify_receipt(signed)

    assert (verdict.valid, verdict.lost, verdict.status) == (True, True, None)


def test_each_receipt_of_a_keyed_job_is_good(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], redis_client: redis.Redis, database_url: str
) -> None:
    """Redis forgot it, and it was queued again under another number; there is one outcome."""
    attempt = BookTickets(make_event(), buyers[0], 1, "key")
    first = supervisor.submit(attempt)
    wait_decided(database_url, [first.job_id])
    replayed = supervisor.submit(attempt)
    assert replayed.signature == first.signature
    redis_client.flushall()
    second = supervisor.submit(attempt)
    assert second.queue_number != first.queue_number

    for receipt in (first, second):
        verdict = supervisor.verify_receipt(_signed(receipt))
        assert verdict.valid
        assert verdict.status is not None
        assert verdict.status.status is JobState.COMPLETED


def test_a_receipt_for_a_quantity_that_was_not_decided_is_not_good(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], redis_client: redis.Redis, database_url: str
) -> None:
    """The key was used for another quantity after Redis forgot it: the answer is the first one's."""
    event_id = make_event(capacity=1)
    first = supervisor.submit(BookTickets(event_id, buyers[0], 1, "key"))
    wait_decided(database_url, [first.job_id])
    redis_client.flushall()
    second = supervisor.submit(BookTickets(event_id, buyers[0], 2, "key"))
    assert second.job_id == first.job_id

    def noted() -> bool:
        status = supervisor._fast_jobs.status(second.job_id)
        return status is not None and status.outcome is not None

    wait_until(noted, 10, "Redis has been told the outcome")
    verdict = supervisor.verify_receipt(_signed(second))
    assert verdict.mismatch is Mismatch.QUANTITY
    assert supervisor.verify_receipt(_signed(first)).valid


def test_what_was_decided_without_queueing_has_no_receipt(
    settings: Settings, own_redis: EmbeddedRedis, make_event: MakeEvent, buyers: list[int]
) -> None:
    """It has no place in the order of acceptance that could be signed; its answer came at once."""
    with running(replace(settings, redis_url=own_redis.url(), degraded_booking=True)) as supervisor:
        own_redis.stop()
        wait_until(lambda: not supervisor.health().components["redis"].ok, 5, "health tells of Redis")
        receipt = supervisor.submit(BookTickets(make_event(), buyers[0], 3))

    assert receipt.answer is not None
    assert (receipt.signature, receipt.quantity) == (None, 3)


def test_before_the_database_was_reached_no_receipt_can_be_judged(settings: Settings) -> None:
    """Its key is there."""
    supervisor = Supervisor(settings)
    claim = Claim(UUID(int=1), 1, 1, 1, datetime(2026, 11, 22, tzinfo=UTC))

    with pytest.raises(UnavailableError):
        supervisor.verify_receipt(SignedReceipt(claim, "x"))
    supervisor.stop()


# The command.


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Receipt], Path]:
    """Writes receipts as the API gives them."""
    numbers = iter(range(100))

    def write(receipt: Receipt) -> Path:
        resp = falcon.Response()
        respond_accepted(resp, receipt)
        file = tmp_path / f"receipt-{next(numbers)}.json"
        assert resp.data is not None
        file.write_text(json.dumps(json.loads(resp.data)["receipt"]))
        return file

    return write


def _verify(file: Path | str, database_url: str, given: str = "") -> tuple[int, str]:
    done = run_command("verify-receipt", str(file), environ={"DATABASE_URL": database_url}, given=given)
    return done.returncode, done.stdout + done.stderr


def test_the_command_tells_the_outcome(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
    written: Callable[[Receipt], Path],
) -> None:
    """Of what was booked and of what was refused, from a file and from standard input."""
    event_id = make_event(capacity=1)
    booked, refused = (supervisor.submit(BookTickets(event_id, buyer)) for buyer in buyers[:2])
    wait_decided(database_url, [booked.job_id, refused.job_id])
    file = written(booked)

    code, said = _verify(file, database_url)
    assert code == 0
    assert said.startswith(f"VALID: job {booked.job_id} is completed, decided at 20")
    assert _verify("-", database_url, file.read_text()) == (0, said)
    code, said = _verify(written(refused), database_url)
    assert code == 0
    assert said.startswith(f"VALID: job {refused.job_id} is failed, sold_out, decided at 20")


def test_the_command_finds_a_forgery_and_cannot_tell_of_what_waits(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
    written: Callable[[Receipt], Path],
) -> None:
    """1 is certain, 2 is not."""
    event_id = make_event()
    supervisor.pause(event_id)
    receipt = supervisor.submit(BookTickets(event_id, buyers[0]))
    file = written(receipt)

    code, said = _verify(file, database_url)
    assert code == 2
    assert said.startswith(f"GENUINE, and job {receipt.job_id} has no outcome: it waits in the queue")
    file.write_text(file.read_text().replace('"quantity": 1', '"quantity": 2'))
    code, said = _verify(file, database_url)
    assert code == 1
    assert said.startswith("NOT VALID: this installation did not give this receipt")
    supervisor.resume(event_id)
    wait_decided(database_url, [receipt.job_id])


def test_the_command_finds_what_the_ledger_contradicts(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
    redis_client: redis.Redis,
    written: Callable[[Receipt], Path],
) -> None:
    """A genuine receipt for two tickets, of a job that was decided for one."""
    event_id = make_event(capacity=1)
    first = supervisor.submit(BookTickets(event_id, buyers[0], 1, "key"))
    wait_decided(database_url, [first.job_id])
    redis_client.flushall()
    second = supervisor.submit(BookTickets(event_id, buyers[0], 2, "key"))

    code, said = _verify(written(second), database_url)

    assert (code, said) == (
        1,
        f"NOT VALID: the ledger says something else of job {first.job_id}: its quantity differs.\n",
    )


@pytest.mark.parametrize("content", ["", "not JSON", "{}", '{"jobId": "x"}', "[]", "\x00"])
def test_what_is_no_receipt_is_one_sentence(tmp_path: Path, content: str) -> None:
    """And no database is asked."""
    file = tmp_path / "receipt.json"
    file.write_text(content)

    code, said = _verify(file, "postgresql://127.0.0.1:1/none")

    assert code == 2
    assert said.startswith(f"error: {file} is not a receipt: ")
    assert said.count("\n") == 1


def test_a_database_that_is_away_is_no_verdict(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], written: Callable[[Receipt], Path]
) -> None:
    """Neither valid nor not."""
    file = written(supervisor.submit(BookTickets(make_event(), buyers[0])))

    code, said = _verify(file, "postgresql://127.0.0.1:1/none")

    assert code == 2
    assert "error: PostgreSQL cannot be used" in said


def test_a_login_that_may_not_read_the_key_is_told_so(
    supervisor: Supervisor,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
    written: Callable[[Receipt], Path],
) -> None:
    """Readers audit, and cannot sign."""
    file = written(supervisor.submit(BookTickets(make_event(), buyers[0])))

    done = run_command(
        "verify-receipt",
        str(file),
        environ={"DATABASE_URL": database_url, "AURORA_DATABASE_ROLE": "aurora_reader"},
    )

    assert done.returncode == 2
    assert "may not read the installation's key" in done.stderr
