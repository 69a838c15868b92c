"""Holds a receipt against what is known of its job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aurora_atlan.actors.errors import UnavailableError
from aurora_atlan.actors.gate import retried
from aurora_atlan.actors.messages import JobStatus
from aurora_atlan.actors.status import StatusDesk, recorded_status
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.receipts import Claim, ReceiptSigner


class Mismatch(StrEnum):
    """What is wrong with a receipt."""

    SIGNATURE = "signature"
    EVENT = "eventId"
    QUANTITY = "quantity"


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt as somebody shows it."""

    claim: Claim
    signature: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receipt is worth."""

    # None: it is valid.
    mismatch: Mismatch | None
    # Where its job stands; None when nobody looked, because the signature is wrong, or nobody knows it.
    status: JobStatus | None

    @property
    def valid(self) -> bool:
        """True when the signature is right and nothing that is known of the job disagrees."""
        return self.mismatch is None

    @property
    def lost(self) -> bool:
        """True when the job was accepted and nobody knows it: the queue lost it undecided."""
        return self.valid and self.status is None


class ReceiptDesk:
    """Says what receipts are worth."""

    def __init__(self, bookings: BookingStore, desk: StatusDesk) -> None:
        self._bookings = bookings
        self._desk = desk

    def check(self, signer: ReceiptSigner | None, receipt: SignedReceipt) -> Verdict:
        """Return the verdict; raises UnavailableError, as it does without a signer."""
        if signer is None:
            raise UnavailableError("the database has not been reached yet; try again")
        claim = receipt.claim
        if not signer.is_genuine(claim, receipt.signature):
            # Nobody is made to look anything up by what we have not given out.
            return Verdict(Mismatch.SIGNATURE, None)
        # The ledger first: Redis may have been told another quantity, of a job that had its answer.
        recorded = retried(lambda: self._bookings.recorded(claim.job_id))
        if recorded is not None:
            return judge(claim, recorded_status(claim.job_id, recorded))
        return judge(claim, self._desk.status(claim.job_id))


def judge(claim: Claim, status: JobStatus | None) -> Verdict:
    """Hold a genuine claim against its job.

    Not its queue number: a keyed job that Redis forgot is queued again, and has a receipt for each time.
    """
    if status is None:
        return Verdict(None, None)
    if status.event_id != claim.event_id:
        return Verdict(Mismatch.EVENT, status)
    if status.quantity != claim.quantity:
        return Verdict(Mismatch.QUANTITY, status)
    return Verdict(None, status)
