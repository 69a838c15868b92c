"""``aurora-atlan verify-receipt``: what a receipt is worth, by the ledger."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aurora_atlan.actors.receipts import Mismatch, SignedReceipt, Verdict, judge
from aurora_atlan.actors.status import recorded_status
from aurora_atlan.commands.errors import CommandError
from aurora_atlan.commands.stores import command_settings
from aurora_atlan.http import schemas, strict_json
from aurora_atlan.http.problems import Problem
from aurora_atlan.http.receipts import receipt_of
from aurora_atlan.http.validation import Validator
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.embedded import EmbeddedServerError, connect_or_start
from aurora_atlan.persistence.errors import SchemaError, StoreError
from aurora_atlan.persistence.receipts import ReceiptSigner

_RECEIPT_BYTES_MAX = 64 * 1024
_OWNER = 0

_VALID, _NOT_VALID, _UNDECIDED = 0, 1, 2


class NotVerifiedError(CommandError):
    """Ends the command without a verdict."""

    exit_code = 2


@click.command("verify-receipt")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
def command(file: Path) -> None:
    """Hold the receipt in FILE (- for standard input) against the ledger.

    A receipt is the JSON object `receipt` of the answer to a booking. Exits 0 when this installation gave it and the
    ledger has its job's outcome, which is shown; 1 when the signature is wrong or the ledger disagrees; 2 when that
    cannot be told, also because the job has no outcome yet.
    """
    receipt = _read(file)
    try:
        with connect_or_start(command_settings(), purpose="verify-receipt") as settings:
            database = Database(settings)
            database.open()
            try:
                verdict = _verdict(BookingStore(database, _OWNER), receipt)
            finally:
                database.close()
    except EmbeddedServerError as error:
        raise NotVerifiedError(str(error)) from error
    except SchemaError as error:
        raise NotVerifiedError(
            "the database's schema is not this version's, or this login may not read the installation's key"
        ) from error
    except StoreError as error:
        raise NotVerifiedError(f"PostgreSQL cannot be used: {error}") from error
    sentence, exit_code = _told(receipt, verdict)
    click.echo(sentence)
    sys.exit(exit_code)


def _read(file: Path) -> SignedReceipt:
    with click.open_file(str(file), "rb") as opened:
        content: bytes = opened.read(_RECEIPT_BYTES_MAX)
    try:
        return receipt_of(Validator(schemas.RECEIPT).check(strict_json.parse(content)))
    except strict_json.MalformedJsonError as error:
        raise NotVerifiedError(f"{file} is not a receipt: {error}") from error
    except Problem as problem:
        raise NotVerifiedError(f"{file} is not a receipt: {problem.description}") from problem


def _verdict(bookings: BookingStore, receipt: SignedReceipt) -> Verdict:
    if not ReceiptSigner(bookings.installation_key()).is_genuine(receipt.claim, receipt.signature):
        return Verdict(Mismatch.SIGNATURE, None)
    job_id = receipt.claim.job_id
    recorded = bookings.recorded(job_id)
    return judge(receipt.claim, None if recorded is None else recorded_status(job_id, recorded))


def _told(receipt: SignedReceipt, verdict: Verdict) -> tuple[str, int]:
    job_id, status = receipt.claim.job_id, verdict.status
    match verdict.mismatch:
        case Mismatch.SIGNATURE:
            return f"NOT VALID: this installation did not give this receipt for job {job_id}.", _NOT_VALID
        case Mismatch.EVENT | Mismatch.QUANTITY as member:
            return f"NOT VALID: the ledger says something else of job {job_id}: its {member} differs.", _NOT_VALID
        case None if status is None:
            return f"GENUINE, and job {job_id} has no outcome: it waits in the queue, or was lost with it.", _UNDECIDED
    assert status is not None
    outcome = status.status.value if status.reason is None else f"{status.status.value}, {status.reason.value}"
    return f"VALID: job {job_id} is {outcome}, decided at {status.finished_at:%Y-%m-%d %H:%M:%S %Z}.", _VALID
