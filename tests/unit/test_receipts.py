"""Receipts: what is signed, and what a signature is worth."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_atlan.actors.messages import JobState, JobStatus
from aurora_atlan.actors.receipts import Mismatch, Verdict, judge
from aurora_atlan.persistence.receipts import Claim, ReceiptSigner, canonical
from aurora_atlan.persistence.records import Reason

_PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"

KEY = bytes(range(32))
CLAIM = Claim(
    UUID("110d2269-3f52-88cd-8424-4f598c6e11db"), 4, 2, 17, datetime(2026, 11, 22, 21, 10, 43, 419_682, tzinfo=UTC)
)


def test_the_bytes_are_one_compact_json_array():
    assert canonical(CLAIM) == b'["110d2269-3f52-88cd-8424-4f598c6e11db",4,2,17,"2026-11-22T21:10:43.419682Z"]'


def test_times_are_signed_in_one_spelling():
    """Six decimals, also of a whole second, and UTC, whatever the offset was."""
    whole = replace(CLAIM, accepted_at=datetime(2026, 11, 22, 21, 10, 43, tzinfo=UTC))
    elsewhere = replace(whole, accepted_at=whole.accepted_at.astimezone(timezone(timedelta(hours=5, minutes=30))))

    assert b'"2026-11-22T21:10:43.000000Z"' in canonical(whole)
    assert canonical(elsewhere) == canonical(whole)


def test_the_signature_is_what_the_standard_library_makes_of_it():
    key = hmac.new(KEY, b"aurora-atlan receipt v1", hashlib.sha256).digest()
    code = hmac.new(key, canonical(CLAIM), hashlib.sha256).digest()

    signature = ReceiptSigner(KEY).sign(CLAIM)

    assert base64.urlsafe_b64decode(signature + "=") == code
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", signature)


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": UUID(int=CLAIM.job_id.int + 1)},
        {"event_id": 5},
        {"quantity": 1},
        {"queue_number": 18},
        {"accepted_at": CLAIM.accepted_at + timedelta(microseconds=1)},
        # The digits are the same, and stand elsewhere.
        {"event_id": 42, "quantity": 1},
        {"quantity": 21, "queue_number": 7},
    ],
)
def test_a_changed_claim_has_another_signature(changes: dict[str, Any]):
    signer = ReceiptSigner(KEY)
    signature = signer.sign(CLAIM)

    assert signer.is_genuine(CLAIM, signature)
    assert not signer.is_genuine(replace(CLAIM, **changes), signature)


@pytest.mark.parametrize("spelled", ["{}=", "{} ", " {}", "{}\n", "", "é", "{}A"])
def test_a_signature_has_one_spelling(spelled: str):
    signer = ReceiptSigner(KEY)

    assert not signer.is_genuine(CLAIM, spelled.format(signer.sign(CLAIM)))


def test_another_installation_signs_otherwise():
    assert not ReceiptSigner(bytes(32)).is_genuine(CLAIM, ReceiptSigner(KEY).sign(CLAIM))


claims = st.builds(
    Claim,
    st.uuids(),
    st.integers(1, 2**53 - 1),
    st.integers(1, 10),
    st.integers(1, 2**53 - 1),
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)


@given(claims, claims)
def test_two_claims_have_the_same_bytes_only_if_they_are_the_same(first: Claim, second: Claim):
    assert (canonical(first) == canonical(second)) == (first == second)


def _example(name: str) -> str:
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1].strip()


def test_the_worked_example_is_signed_as_the_page_says():
    shown = json.loads(_example("receipt"))
    signature = shown.pop("signature")
    claim = Claim(
        UUID(shown["jobId"]),
        shown["eventId"],
        shown["quantity"],
        shown["queueNumber"],
        datetime.fromisoformat(shown["acceptedAt"]),
    )

    assert canonical(claim).decode() == _example("signed")
    # As the page says: the members' values, in their order, copied as they are.
    assert json.dumps(list(shown.values()), separators=(",", ":")) == _example("signed")
    assert ReceiptSigner(bytes.fromhex(_example("installation-key"))).sign(claim) == signature


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_verifier_in_javascript_agrees(tmp_path: Path):
    program = tmp_path / "verify.js"
    program.write_text(_example("receipt-verifier"), encoding="utf-8")
    environ = {**os.environ, "INSTALLATION_KEY": _example("installation-key")}

    def verify(receipt: str) -> str:
        done = subprocess.run(["node", program], input=receipt, env=environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    receipt = _example("receipt")
    assert verify(receipt) == "genuine"
    assert verify(receipt.replace('"quantity": 2', '"quantity": 1')) == "not ours"


def status(**changes: Any) -> JobStatus:
    values: dict[str, Any] = {
        "job_id": CLAIM.job_id,
        "status": JobState.FAILED,
        "queue_position": 0,
        "reason": Reason.SOLD_OUT,
        "event_id": 4,
        "user_id": 1,
        "quantity": 2,
        "queue_number": 17,
        "attempts": 1,
        "accepted_at": CLAIM.accepted_at,
        "finished_at": CLAIM.accepted_at,
        "booking": None,
        "estimated_wait_s": 0.0,
    }
    return JobStatus(**{**values, **changes})


def test_a_claim_that_nothing_disagrees_with_is_valid():
    assert judge(CLAIM, status()) == Verdict(None, status())
    assert judge(CLAIM, status()).valid


def test_any_number_that_was_signed_for_the_job_will_do():
    """A keyed job that Redis forgot is queued again, under a new number."""
    again = status(queue_number=99)

    assert judge(CLAIM, again).valid


@pytest.mark.parametrize(
    ("changes", "mismatch"), [({"event_id": 5}, Mismatch.EVENT), ({"quantity": 1}, Mismatch.QUANTITY)]
)
def test_a_claim_that_the_ledger_contradicts_is_not(changes: dict[str, Any], mismatch: Mismatch):
    verdict = judge(CLAIM, status(**changes))

    assert (verdict.valid, verdict.mismatch) == (False, mismatch)


def test_a_job_that_nobody_knows_was_lost():
    verdict = judge(CLAIM, None)

    assert (verdict.valid, verdict.lost) == (True, True)
    assert not Verdict(Mismatch.SIGNATURE, None).lost
    assert not judge(CLAIM, status()).lost
