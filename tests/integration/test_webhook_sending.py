"""Webhooks from the booking to the receiver: a real supervisor, a real HTTPS server, and what may go wrong between."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from standardwebhooks import Webhook as Verifier

from aurora_atlan.actors import relay, webhook_sender, webhook_turn
from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.actors.webhook_messages import new_secret, written
from aurora_atlan.persistence.audit_log import AuditLog, Deed
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.webhooks import OUTCOME_TYPES, Standing, WebhookStore
from aurora_atlan.supervisor import Supervisor
from harness.receiver import Received, Receiver, with_status
from harness_sales import wait_decided, wait_until

Sql = psycopg.Connection[Any]
Supervise = Callable[..., Supervisor]
MakeEvent = Callable[..., int]

_DATA = ("entryNumber", "jobId", "bookingId", "userId", "quantity", "reason", "queueNumber")
DEED = Deed(actor_id=None, action="webhook.test", subject="a webhook")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Whoever made the receivers' certificates."""
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system trusts the authority, and nobody waits long for anything."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setattr(relay, "_PAUSE_S", 0.05)
    monkeypatch.setattr(webhook_sender, "_LOOK_S", 0.05)
    monkeypatch.setattr(webhook_turn, "_RETRY_MIN_S", 0.02)
    monkeypatch.setattr(webhook_turn, "_RETRY_MAX_S", 0.1)


@pytest.fixture
def start_receiver(authority: trustme.CA) -> Iterator[Callable[[], Receiver]]:
    """Starts receivers at https://localhost."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Receiver(authority).running())


@pytest.fixture
def receiver(start_receiver: Callable[[], Receiver]) -> Receiver:
    """One of them."""
    return start_receiver()


@pytest.fixture
def store(database: Database) -> WebhookStore:
    """The webhooks."""
    return WebhookStore(database)


@pytest.fixture
def supervise_private(supervise: Supervise) -> Supervise:
    """Starts supervisors that may send to this machine."""
    return lambda **changes: supervise(webhook_private_addresses=True, **changes)


def register(
    store: WebhookStore, url: str, types: tuple[str, ...] = OUTCOME_TYPES, secret: bytes | None = None
) -> tuple[int, bytes]:
    """Add a webhook; return its id and secret."""
    secret = secret or new_secret()
    webhook = store.create(url, types, secret, lambda _: DEED)
    assert webhook is not None
    return webhook.id, secret


def standing(store: WebhookStore, webhook_id: int) -> Standing:
    found = store.standing(webhook_id)
    assert found is not None
    return found


def book(supervisor: Supervisor, database_url: str, event_id: int, users: list[int]) -> None:
    """Book, in this order, and wait for the outcomes."""
    wait_decided(database_url, [supervisor.submit(BookTickets(event_id, user_id)).job_id for user_id in users])


def all_sent(store: WebhookStore, webhook_id: int, receiver: Receiver, count: int) -> None:
    """Wait until so many have come, and nothing waits."""

    def done() -> bool:
        return len(receiver.received) >= count and standing(store, webhook_id).waiting == 0

    wait_until(done, 15, f"{count} messages have come")


# What comes.


def test_every_outcome_comes_signed_and_per_event_in_order(
    supervise_private: Supervise,
    store: WebhookStore,
    receiver: Receiver,
    make_event: MakeEvent,
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """Confirmed, refused and cancelled: as the ledger has them, each once while nothing goes wrong."""
    webhook_id, secret = register(store, receiver.url)
    supervisor = supervise_private()
    events = [make_event(capacity=8) for _ in range(3)]
    jobs = [
        supervisor.submit(BookTickets(events[number % 3], user_id)).job_id for number, user_id in enumerate(buyers[:30])
    ]
    wait_decided(database_url, jobs)
    [(booking_id,)] = sql.execute("SELECT min(id) FROM bookings").fetchall()
    supervisor.cancel(booking_id)

    all_sent(store, webhook_id, receiver, 31)

    for event_id in events:
        ledger = sql.execute(
            "SELECT 'booking.' || kind, entry_number, job_id::text, booking_id, user_id, quantity, reason, queue_number"
            "  FROM booking_ledger WHERE event_id = %s AND kind <> 'opened' ORDER BY entry_number",
            (event_id,),
        ).fetchall()
        messages = [received.message for received in receiver.received]
        assert [
            (message["type"], *(message["data"][name] for name in _DATA))
            for message in messages
            if message["data"]["eventId"] == event_id
        ] == ledger
    verifier = Verifier(written(secret))
    for received in receiver.received:
        verifier.verify(received.body, received.headers)
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 31
    # Fewer connections than messages: a turn has one.
    assert len({received.peer for received in receiver.received}) < 31
    assert standing(store, webhook_id).webhook.last_success_at is not None


def test_a_test_comes_and_says_what_it_is(
    supervise_private: Supervise, store: WebhookStore, receiver: Receiver
) -> None:
    """Whatever the webhook asked for."""
    webhook_id, secret = register(store, receiver.url, ("booking.failed",))
    supervise_private()

    store.queue_test(webhook_id, DEED)

    all_sent(store, webhook_id, receiver, 1)
    [received] = receiver.received
    message = Verifier(written(secret)).verify(received.body, received.headers)
    assert (message["type"], message["data"]) == ("webhook.test", {})


def test_after_a_rotation_the_old_and_the_new_secret_verify(
    supervise_private: Supervise, store: WebhookStore, receiver: Receiver
) -> None:
    """Receivers can change theirs at any moment of the day."""
    webhook_id, old = register(store, receiver.url)
    new = new_secret()
    store.rotate(webhook_id, new, DEED)
    supervise_private()

    store.queue_test(webhook_id, DEED)

    all_sent(store, webhook_id, receiver, 1)
    [received] = receiver.received
    for secret in (old, new):
        Verifier(written(secret)).verify(received.body, received.headers)


# What goes wrong at the receiver's.


def test_what_came_while_the_receiver_was_down_comes_later_in_order(
    supervise_private: Supervise,
    store: WebhookStore,
    receiver: Receiver,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
) -> None:
    """The same messages, byte by byte; nothing overtakes what failed."""
    webhook_id, _ = register(store, receiver.url)
    receiver.answer = with_status(503)
    supervisor = supervise_private()
    event_id = make_event(capacity=50)
    book(supervisor, database_url, event_id, buyers[:5])
    wait_until(lambda: len(receiver.received) >= 3, 10, "some attempts")
    wait_until(lambda: standing(store, webhook_id).waiting == 5, 10, "all of them wait")
    seen = standing(store, webhook_id)
    assert (seen.waiting, seen.failed, seen.webhook.last_error) == (5, 0, "it answered 503")
    receiver.answer = with_status(200)

    wait_until(lambda: standing(store, webhook_id).waiting == 0, 10, "all of it")

    first_attempts = list(dict.fromkeys(receiver.entries))
    assert first_attempts == [(event_id, number) for number in range(2, 7)]
    repeated = [received for received in receiver.received if received.entry == (event_id, 2)]
    assert len(repeated) >= 4
    assert len({(received.body, received.headers["webhook-id"]) for received in repeated}) == 1


def test_what_is_refused_holds_up_its_event_and_no_other(
    supervise_private: Supervise,
    store: WebhookStore,
    receiver: Receiver,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
) -> None:
    """Per event in order is the promise; between events there is none."""
    webhook_id, _ = register(store, receiver.url)
    stubborn, other = make_event(capacity=50), make_event(capacity=50)
    accepting = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, received: Received) -> None:
        refused = received.entry == (stubborn, 3) and not accepting.is_set()
        with_status(400 if refused else 204)(handler, received)

    receiver.answer = answer
    supervisor = supervise_private()
    book(supervisor, database_url, stubborn, buyers[:3])
    book(supervisor, database_url, other, buyers[:3])

    wait_until(lambda: (other, 4) in receiver.entries, 10, "the other event goes on")
    assert (stubborn, 4) not in receiver.entries
    accepting.set()

    wait_until(lambda: standing(store, webhook_id).waiting == 0, 10, "this one, too")
    assert receiver.entries[-1] == (stubborn, 4)


def test_a_receiver_that_takes_its_time_holds_up_no_other(
    supervise_private: Supervise,
    store: WebhookStore,
    start_receiver: Callable[[], Receiver],
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
) -> None:
    """Each has a thread of its own."""
    slow, quick = start_receiver(), start_receiver()
    over = threading.Event()
    slow.answer = lambda handler, received: (over.wait(30), with_status(204)(handler, received))[1]
    slow_id, _ = register(store, slow.url)
    quick_id, _ = register(store, quick.url)
    supervisor = supervise_private()
    try:
        book(supervisor, database_url, make_event(capacity=50), buyers[:20])
        all_sent(store, quick_id, quick, 20)
        assert len(slow.received) == 1
        assert standing(store, slow_id).waiting == 20
    finally:
        over.set()
    all_sent(store, slow_id, slow, 20)


def test_a_redirect_is_a_failure(
    supervise_private: Supervise, store: WebhookStore, start_receiver: Callable[[], Receiver]
) -> None:
    """Where it leads, nobody has checked."""
    receiver, elsewhere = start_receiver(), start_receiver()
    receiver.answer = with_status(308, Location=elsewhere.url)
    webhook_id, _ = register(store, receiver.url)
    supervise_private()

    store.queue_test(webhook_id, DEED)

    wait_until(lambda: standing(store, webhook_id).webhook.last_error == "it answered 308", 10, "the failure")
    assert elsewhere.received == []


def test_a_private_address_is_told_nothing(
    supervise: Supervise, store: WebhookStore, receiver: Receiver, make_event: MakeEvent
) -> None:
    """Also when the webhook was accepted while such addresses were allowed."""
    webhook_id, _ = register(store, receiver.url)
    supervise()

    store.queue_test(webhook_id, DEED)

    wait_until(lambda: standing(store, webhook_id).webhook.last_error is not None, 10, "the failure")
    assert str(standing(store, webhook_id).webhook.last_error).startswith("must be an https URL of a public host")
    assert receiver.received == []


def test_a_name_that_leads_to_a_private_address_by_now_is_told_nothing(
    supervise: Supervise, store: WebhookStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it led to when the webhook was accepted does not matter."""
    real = socket.getaddrinfo

    def rebound(host: str, *arguments: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "hooks.example.com" else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    webhook_id, _ = register(store, receiver.url.replace("localhost", "hooks.example.com"))
    supervise()

    store.queue_test(webhook_id, DEED)

    expected = "127.0.0.1 is not a public address"
    wait_until(lambda: standing(store, webhook_id).webhook.last_error == expected, 10, "the failure")
    assert receiver.received == []


def test_whoever_says_that_he_is_gone_is_not_told_any_more(
    supervise_private: Supervise,
    store: WebhookStore,
    receiver: Receiver,
    make_event: MakeEvent,
    buyers: list[int],
    database: Database,
    database_url: str,
    sql: Sql,
) -> None:
    """The administrators are, in the audit log; what waited comes when they switch it on again."""
    webhook_id, _ = register(store, receiver.url)

    def leave(handler: BaseHTTPRequestHandler, received: Received) -> None:
        # Not before both are copied: to one who is gone nothing is.
        wait_until(lambda: standing(store, webhook_id).waiting == 2, 10, "both wait")
        with_status(410)(handler, received)

    receiver.answer = leave
    supervisor = supervise_private()
    event_id = make_event(capacity=50)
    book(supervisor, database_url, event_id, buyers[:2])

    wait_until(lambda: not standing(store, webhook_id).webhook.enabled, 10, "it is switched off")

    assert len(receiver.received) == 1
    newest = AuditLog(database).page(1)[0]
    assert (newest.action, newest.subject, newest.actor_id) == ("webhook.disable", f"webhook {webhook_id}", None)
    assert newest.after == {"enabled": False, "error": "it answered 410"}
    book(supervisor, database_url, event_id, buyers[2:3])
    wait_until(lambda: sql.execute("SELECT count(*) FROM outbox").fetchone() == (0,), 10, "the outbox is empty")
    receiver.answer = with_status(204)
    store.set_enabled(webhook_id, DEED, enabled=True)
    all_sent(store, webhook_id, receiver, 3)
    assert receiver.entries == [(event_id, 2), (event_id, 2), (event_id, 3)]


def test_after_five_days_of_failures_it_is_switched_off_and_keeps_what_waits(
    supervise_private: Supervise, store: WebhookStore, receiver: Receiver, sql: Sql
) -> None:
    """Nothing is given up that nobody could take."""
    webhook_id, _ = register(store, receiver.url)
    receiver.answer = with_status(500)
    supervise_private()
    store.queue_test(webhook_id, DEED)
    wait_until(lambda: len(receiver.received) >= 2, 10, "it fails")

    sql.execute("UPDATE webhook_deliveries SET failing_since = failing_since - interval '5 days 1 hour'")

    wait_until(lambda: not standing(store, webhook_id).webhook.enabled, 10, "it is switched off")
    seen = standing(store, webhook_id)
    assert (seen.waiting, seen.failed) == (1, 0)


def test_what_alone_is_refused_for_five_days_is_given_up(
    supervise_private: Supervise,
    store: WebhookStore,
    receiver: Receiver,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
    sql: Sql,
) -> None:
    """What comes after it is delivered, and it is kept to be seen."""
    webhook_id, _ = register(store, receiver.url)
    event_id = make_event(capacity=50)
    receiver.answer = lambda handler, received: with_status(400 if received.entry[1] == 3 else 204)(handler, received)
    supervisor = supervise_private()
    book(supervisor, database_url, event_id, buyers[:3])
    wait_until(lambda: receiver.entries.count((event_id, 3)) >= 2, 10, "it is refused")

    sql.execute("UPDATE webhook_deliveries SET failing_since = now() - interval '5 days 1 hour' WHERE attempts > 0")

    wait_until(lambda: (event_id, 4) in receiver.entries, 10, "the next comes")
    wait_until(lambda: standing(store, webhook_id).waiting == 0, 10, "nothing waits")
    [given_up] = standing(store, webhook_id).given_up
    assert (given_up.event_id, given_up.entry_number, given_up.error) == (event_id, 3, "it answered 400")
    assert standing(store, webhook_id).webhook.enabled


# What goes wrong at ours.


def test_a_stop_cuts_what_takes_too_long_and_the_next_start_sends_it_again(
    supervise_private: Supervise, store: WebhookStore, receiver: Receiver, sql: Sql
) -> None:
    """Within its time, without a thread left; it has not failed, and its id is the same."""
    webhook_id, _ = register(store, receiver.url)
    came, over = threading.Event(), threading.Event()

    def stall(handler: BaseHTTPRequestHandler, received: Received) -> None:
        came.set()
        over.wait(30)

    receiver.answer = stall
    first = supervise_private()
    store.queue_test(webhook_id, DEED)
    assert came.wait(10)
    began = time.monotonic()
    try:
        first.stop()
    finally:
        over.set()
    assert time.monotonic() - began < 5
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("aurora-webhook")] == []
    assert sql.execute("SELECT attempts, next_at <= now() FROM webhook_deliveries").fetchall() == [(0, True)]

    receiver.answer = with_status(204)
    supervise_private()

    all_sent(store, webhook_id, receiver, 2)
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1


def test_a_stop_lets_an_answer_come_that_is_under_way(
    supervise_private: Supervise, store: WebhookStore, receiver: Receiver
) -> None:
    """It is noted, so nothing is sent twice without need."""
    webhook_id, _ = register(store, receiver.url)
    came, over = threading.Event(), threading.Event()

    def wait(handler: BaseHTTPRequestHandler, received: Received) -> None:
        came.set()
        over.wait(30)
        with_status(204)(handler, received)

    receiver.answer = wait
    supervisor = supervise_private()
    store.queue_test(webhook_id, DEED)
    assert came.wait(10)
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    wait_until(supervisor._webhooks._stopping.is_set, 10, "the stop has come to the webhooks")
    over.set()
    stopping.join(10)

    assert len(receiver.received) == 1
    assert standing(store, webhook_id).waiting == 0


def test_two_processes_share_the_work_and_send_nothing_twice(
    supervise_private: Supervise,
    store: WebhookStore,
    receiver: Receiver,
    make_event: MakeEvent,
    buyers: list[int],
    database_url: str,
) -> None:
    """Each event is one's at a time."""
    webhook_id, _ = register(store, receiver.url)
    first, second = supervise_private(), supervise_private()
    events = [make_event(capacity=50) for _ in range(8)]
    jobs = [
        supervisor.submit(BookTickets(event_id, user_id)).job_id
        for event_id in events
        for supervisor, user_id in zip((first, second) * 5, buyers[:10], strict=True)
    ]
    wait_decided(database_url, jobs)

    all_sent(store, webhook_id, receiver, 80)

    assert sorted(receiver.entries) == [(event_id, number) for event_id in events for number in range(2, 12)]
    for event_id in events:
        numbers = [number for event, number in receiver.entries if event == event_id]
        assert numbers == sorted(numbers)


def test_who_loses_postgresql_sends_again_what_he_could_not_note(
    supervise_private: Supervise,
    store: WebhookStore,
    receiver: Receiver,
    make_event: MakeEvent,
    buyers: list[int],
    sql: Sql,
    database_url: str,
) -> None:
    """At least once: delivered and not noted is delivered again, in order, under the same ids."""
    webhook_id, _ = register(store, receiver.url)
    supervisor = supervise_private()
    event_id = make_event(capacity=50)

    def cut(handler: BaseHTTPRequestHandler, received: Received) -> None:
        receiver.answer = with_status(204)
        # What is delivered now cannot be noted.
        sql.execute("REVOKE DELETE ON webhook_deliveries FROM aurora_app")
        with_status(204)(handler, received)

    receiver.answer = cut
    book(supervisor, database_url, event_id, buyers[:1])
    wait_until(lambda: len(receiver.received) == 1, 10, "it is sent")
    wait_until(lambda: not supervisor._webhooks._under_way, 10, "the turn is over")
    assert standing(store, webhook_id).waiting == 1
    book(supervisor, database_url, event_id, buyers[1:3])

    sql.execute("GRANT DELETE ON webhook_deliveries TO aurora_app")
    # The claim is over.
    sql.execute("UPDATE webhook_deliveries SET next_at = now()")

    all_sent(store, webhook_id, receiver, 4)
    assert receiver.entries == [(event_id, number) for number in (2, 2, 3, 4)]
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 3


def test_deliveries_are_counted(supervise_private: Supervise, store: WebhookStore, receiver: Receiver) -> None:
    """For whoever watches."""
    webhook_id, _ = register(store, receiver.url)
    receiver.answer = with_status(500)
    supervisor = supervise_private()

    def count(result: str) -> float:
        name = "aurora_webhook_deliveries_total"
        return supervisor.metrics.registry.get_sample_value(name, {"result": result}) or 0.0

    store.queue_test(webhook_id, DEED)
    wait_until(lambda: count("failed") >= 1, 10, "a failure")
    assert count("delivered") == 0
    receiver.answer = with_status(204)
    wait_until(lambda: count("delivered") == 1, 10, "a delivery")


def test_the_certificates_are_read_when_they_are_needed(supervisor: Supervisor) -> None:
    """Who has no webhook does not wait for them at start."""
    assert "_trust" not in vars(supervisor._webhooks)
    assert isinstance(supervisor._webhooks._trust, ssl.SSLContext)
