"""Receipts: what a 202 states, signed, so that it can be held against the ledger at any later time.

``docs/ledger.md`` states the format for verifiers written in other languages.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from aurora_atlan.persistence.ledger import canonical_time
from aurora_atlan.persistence.mac import Mac

# Sets this key apart from every other that is made of the installation's; the version of the format is in it.
_PURPOSE = b"aurora-atlan receipt v1"


@dataclass(slots=True)
class Claim:
    """What a receipt says: this job was accepted then, at this place in the event's order of acceptance."""

    job_id: UUID
    event_id: int
    quantity: int
    queue_number: int
    accepted_at: datetime


def canonical(claim: Claim) -> bytes:
    """Return the bytes that are signed: the claim's members as one compact JSON array in UTF-8.

    The UUID is lower-case, the time UTC with six decimals and ``Z``: no two claims have the same bytes.
    """
    return orjson.dumps(
        [claim.job_id, claim.event_id, claim.quantity, claim.queue_number, canonical_time(claim.accepted_at)]
    )


class ReceiptSigner:
    """Signs receipts, and knows its own, with a key made of the installation's: HMAC-SHA-256 (RFC 2104)."""

    def __init__(self, installation_key: bytes) -> None:
        self._mac = Mac(Mac(installation_key).digest(_PURPOSE))

    def sign(self, claim: Claim) -> str:
        """Return the signature in base64url without padding (RFC 4648, section 5): 43 characters."""
        return base64.urlsafe_b64encode(self._mac.digest(canonical(claim))).rstrip(b"=").decode()

    def is_genuine(self, claim: Claim, signature: str) -> bool:
        """Tell whether this is the claim's signature; no other spelling of the same bytes is."""
        return hmac.compare_digest(self.sign(claim).encode(), signature.encode())
