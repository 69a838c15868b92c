"""What webhooks are sent, as others understand the specification."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from aurora_atlan.actors.webhook_messages import body_of, headers_of, new_secret, written
from aurora_atlan.persistence.outbox import OutcomeNotice
from aurora_atlan.persistence.records import Kind
from aurora_atlan.persistence.webhook_deliveries import Delivery

JOB_ID = UUID("2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1")
AT = datetime(2026, 11, 22, 20, 30, 15, 250_000, tzinfo=timezone(timedelta(hours=1)))
OUTCOME = OutcomeNotice(7, 3, Kind.CONFIRMED, JOB_ID, 11, 5, 2, None, 9, AT)
DELIVERY = Delivery(UUID(int=1), 3, AT, 0, None, OUTCOME)


def test_a_message_says_what_the_ledger_says():
    assert body_of(DELIVERY) == (
        b'{"type":"booking.confirmed","timestamp":"2026-11-22T19:30:15.250000Z","data":{"eventId":7,"entryNumber":3,'
        b'"jobId":"2c5ea4c0-4067-81e9-8f3b-7c1ad4f8c2d1","bookingId":11,"userId":5,"quantity":2,"reason":null,'
        b'"queueNumber":9}}'
    )


def test_what_the_ledger_does_not_know_is_null():
    cancelled = OutcomeNotice(7, 4, Kind.CANCELLED, None, 11, 5, 2, None, None, AT)

    body = body_of(replace(DELIVERY, outcome=cancelled))

    assert b'"type":"booking.cancelled"' in body
    assert b'"jobId":null,"bookingId":11' in body


def test_a_test_means_nothing():
    at = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)

    assert body_of(replace(DELIVERY, outcome=None, created_at=at)) == (
        b'{"type":"webhook.test","timestamp":"2026-11-22T19:30:00Z","data":{}}'
    )


def test_the_signature_is_the_one_of_the_specification():
    """Computed with openssl: the hash of "msg_<id>.<timestamp>.<body>" under the secret's bytes."""
    headers = headers_of(DELIVERY, b'{"test": 2432232314}', [b"\x01" * 24], 1614265330)

    assert headers == {
        **headers,
        "Content-Type": "application/json",
        "webhook-id": "msg_00000000000000000000000000000001",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,aO+EfpxHpUpt/0+PA7bmUDcvwiixM/qzdmbhmGHhTJs=",
    }


def test_the_specifications_own_library_verifies_it():
    secret, body = new_secret(), body_of(DELIVERY)
    headers = headers_of(DELIVERY, body, [secret], int(time.time()))

    assert Webhook(written(secret)).verify(body, headers)["data"]["bookingId"] == 11
    with pytest.raises(WebhookVerificationError):
        Webhook(written(secret)).verify(body.replace(b"11", b"12"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(written(new_secret())).verify(body, headers)


def test_every_secret_signs():
    old, new = new_secret(), new_secret()
    body = body_of(DELIVERY)
    headers = headers_of(DELIVERY, body, [new, old], int(time.time()))

    for secret in (old, new):
        Webhook(written(secret)).verify(body, headers)
    assert headers["webhook-signature"].count("v1,") == 2


def test_secrets_differ_and_are_written_as_the_specification_says():
    first, second = written(new_secret()), written(new_secret())

    assert first != second
    assert first.startswith("whsec_")
    assert len(first) == len("whsec_") + 44
