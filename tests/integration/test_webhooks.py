"""Webhooks in PostgreSQL: who may be told of what, and what waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.relay import OutboxRelay
from aurora_atlan.persistence import queries, webhooks
from aurora_atlan.persistence.audit_log import AuditLog, Deed
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.outbox import OutcomeNotice
from aurora_atlan.persistence.records import Job, Outcome
from aurora_atlan.persistence.webhook_deliveries import Delivery, Failure, Lane, WebhookDeliveryStore
from aurora_atlan.persistence.webhooks import OUTCOME_TYPES, WEBHOOKS_MAX, Webhook, WebhookStore
from harness_sales import wait_until

Sql = psycopg.Connection[Any]
Enqueue = Callable[..., Job]
Decide = Callable[..., list[Outcome]]

URL = "https://example.com/hook"
SECRET = bytes(32)
DEED = Deed(actor_id=None, action="webhook.create", subject="a webhook")


@pytest.fixture
def store(database: Database) -> WebhookStore:
    """The webhooks."""
    return WebhookStore(database)


@pytest.fixture
def deliveries(database: Database) -> WebhookDeliveryStore:
    """What they are to be told."""
    return WebhookDeliveryStore(database)


def create(store: WebhookStore, types: tuple[str, ...] = OUTCOME_TYPES) -> Webhook:
    webhook = store.create(URL, types, SECRET, lambda _: DEED)
    assert webhook is not None
    return webhook


def relay(database: Database, sql: Sql, on_outcome: Callable[[OutcomeNotice], None] | None = None) -> None:
    """Empty the outbox."""
    running = OutboxRelay(database, on_outcome)
    running.start()
    wait_until(lambda: sql.execute("SELECT count(*) FROM outbox").fetchone() == (0,), 10, "the outbox is empty")
    running.stop(5)


def copied(sql: Sql) -> list[tuple[int, int, int]]:
    """Which entries wait for which webhook."""
    return sql.execute(
        "SELECT webhook_id, event_id, entry_number FROM webhook_deliveries ORDER BY webhook_id, event_id, entry_number"
    ).fetchall()


# From the outbox to the webhooks.


@pytest.mark.parametrize("hooked", [False, True])
def test_outcomes_are_moved_to_every_enabled_webhook_that_wants_them(
    database: Database,
    store: WebhookStore,
    make_event: Callable[..., int],
    enqueue: Enqueue,
    decide: Decide,
    buyers: list[int],
    sql: Sql,
    hooked: bool,
) -> None:
    """With a hook in this process, too, which is told first."""
    every, refusals, idle = create(store), create(store, ("booking.rejected",)), create(store)
    store.set_enabled(idle.id, DEED, enabled=False)
    event_id = make_event(capacity=2)
    decide(*(enqueue(event_id, user_id) for user_id in buyers[:3]))
    told: list[OutcomeNotice] = []

    relay(database, sql, told.append if hooked else None)

    assert copied(sql) == [
        *((every.id, event_id, number) for number in (2, 3, 4)),
        (refusals.id, event_id, 4),
    ]
    assert [outcome.entry_number for outcome in told] == ([2, 3, 4] if hooked else [])


def test_what_cannot_be_noted_for_a_webhook_stays_in_the_outbox(
    database: Database,
    store: WebhookStore,
    make_event: Callable[..., int],
    enqueue: Enqueue,
    decide: Decide,
    buyers: list[int],
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both happen, or neither; whatever interrupts it, nothing is lost and nothing is doubled."""
    monkeypatch.setattr("aurora_atlan.actors.relay._PAUSE_AFTER_ERROR_S", 0.01)
    webhook = create(store)
    event_id = make_event(capacity=50)
    decide(*(enqueue(event_id, user_id) for user_id in buyers[:3]))
    sql.execute("CREATE SEQUENCE tries")
    sql.execute("GRANT ALL ON SEQUENCE tries TO aurora_app")
    sql.execute(
        "CREATE FUNCTION interrupt() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF nextval('tries') < 9 AND NEW.entry_number = 4 THEN RAISE 'no'; END IF; RETURN NEW; END $$"
    )
    sql.execute(
        "CREATE TRIGGER interrupt BEFORE INSERT ON webhook_deliveries FOR EACH ROW EXECUTE FUNCTION interrupt()"
    )

    relay(database, sql)

    assert copied(sql) == [(webhook.id, event_id, number) for number in (2, 3, 4)]
    assert sql.execute("SELECT last_value FROM tries").fetchone() == (9,)


def test_without_a_webhook_the_ledger_is_not_looked_at(
    make_event: Callable[..., int],
    enqueue: Enqueue,
    decide: Decide,
    buyers: list[int],
    sql: Sql,
) -> None:
    """Who has none pays nothing for them."""
    event_id = make_event(capacity=50)
    decide(*(enqueue(event_id, user_id) for user_id in buyers[:3]))
    statement = b"EXPLAIN (ANALYZE, FORMAT JSON) " + queries.load("outbox")["pass_on_oldest"]

    [[[plan]]] = sql.execute(statement, {"limit": 10}).fetchall()

    def loops(node: dict[str, Any]) -> list[int]:
        own = [node["Actual Loops"]] if node.get("Relation Name") == "booking_ledger" else []
        return own + [count for inner in node.get("Plans", []) for count in loops(inner)]

    assert loops(plan["Plan"]) == [0]
    assert sql.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


# Lanes.


@pytest.fixture
def lane(
    database: Database,
    store: WebhookStore,
    make_event: Callable[..., int],
    enqueue: Enqueue,
    decide: Decide,
    buyers: list[int],
    sql: Sql,
) -> Lane:
    """Three deliveries of one event, of entries 2 to 4, to one webhook."""
    webhook = create(store)
    event_id = make_event(capacity=50)
    decide(*(enqueue(event_id, user_id) for user_id in buyers[:3]))
    relay(database, sql)
    return Lane(webhook.id, event_id)


def waiting(deliveries: WebhookDeliveryStore, lane: Lane) -> list[Delivery]:
    found = deliveries.waiting(lane, 100)
    assert found is not None
    return found[1]


def test_a_lane_is_claimed_by_one_for_a_while(deliveries: WebhookDeliveryStore, lane: Lane, sql: Sql) -> None:
    """Until it is settled, or the time is over because whoever had it died."""
    assert deliveries.claim([lane.webhook_id], 60) == []
    assert deliveries.claim([], 60) == [lane]
    assert deliveries.claim([], 60) == []
    sql.execute("UPDATE webhook_deliveries SET next_at = next_at - interval '1 minute'")

    assert deliveries.claim([], 60) == [lane]

    deliveries.settle(lane, waiting(deliveries, lane)[:1], None)
    assert deliveries.claim([], 60) == [lane]
    assert [delivery.entry_number for delivery in waiting(deliveries, lane)] == [3, 4]


def test_many_who_claim_at_once_get_each_lane_once(
    deliveries: WebhookDeliveryStore, store: WebhookStore, sql: Sql
) -> None:
    """Whoever comes later finds it put off."""
    webhook_ids = [create(store).id for _ in range(WEBHOOKS_MAX)]
    sql.execute(
        "INSERT INTO webhook_deliveries (webhook_id, event_id, entry_number)"
        " SELECT id, event, number FROM webhooks, generate_series(1, 3) AS event, generate_series(1, 3) AS number"
    )
    barrier, lanes = threading.Barrier(4), []

    def claim() -> None:
        barrier.wait(10)
        for _ in range(4):
            lanes.extend(deliveries.claim([], 60))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(lanes, key=str) == sorted(
        (Lane(webhook_id, event_id) for webhook_id in webhook_ids for event_id in (1, 2, 3)), key=str
    )


def test_what_was_not_tried_is_due_at_once(deliveries: WebhookDeliveryStore, lane: Lane) -> None:
    """A stop costs no time."""
    deliveries.claim([], 60)

    deliveries.settle(lane, [], waiting(deliveries, lane)[0])

    assert deliveries.claim([], 60) == [lane]
    assert waiting(deliveries, lane)[0].attempts == 0


def test_a_failure_puts_its_event_off_and_no_other(
    deliveries: WebhookDeliveryStore, store: WebhookStore, lane: Lane, sql: Sql
) -> None:
    """What came before it is delivered; what comes after it waits with it."""
    sql.execute("INSERT INTO webhook_deliveries VALUES (%s, %s, 1)", (lane.webhook_id, lane.event_id + 1))
    [first, second, _] = waiting(deliveries, lane)
    deliveries.claim([], 60)

    deliveries.settle(lane, [first], Failure(second, "it answered 500", 3600))

    assert deliveries.claim([], 60) == [Lane(lane.webhook_id, lane.event_id + 1)]
    assert [(each.entry_number, each.attempts) for each in waiting(deliveries, lane)] == [(3, 1), (4, 0)]
    assert waiting(deliveries, lane)[0].message_id == second.message_id
    standing = store.standing(lane.webhook_id)
    assert standing is not None
    assert (standing.waiting, standing.failed, standing.webhook.last_error) == (3, 0, "it answered 500")
    assert standing.webhook.last_success_at is not None


def test_what_is_given_up_is_kept_and_the_next_has_its_turn(
    deliveries: WebhookDeliveryStore, store: WebhookStore, lane: Lane
) -> None:
    """For the operator to see."""
    deliveries.claim([], 60)

    deliveries.settle(lane, [], Failure(waiting(deliveries, lane)[0], "it answered 400", 3600, given_up=True))

    assert deliveries.claim([], 60) == [lane]
    assert [each.entry_number for each in waiting(deliveries, lane)] == [3, 4]
    standing = store.standing(lane.webhook_id)
    assert standing is not None
    assert (standing.waiting, standing.failed) == (2, 1)
    [given_up] = standing.given_up
    assert (given_up.event_id, given_up.entry_number, given_up.attempts) == (lane.event_id, 2, 1)
    assert given_up.error == "it answered 400"


def test_a_webhook_that_is_switched_off_keeps_what_waits(
    deliveries: WebhookDeliveryStore, store: WebhookStore, lane: Lane, database: Database, sql: Sql
) -> None:
    """Switched on again, all of it is due, and forgets how often it failed."""
    deliveries.claim([], 60)
    disabling = Deed(actor_id=None, action="webhook.disable", subject=f"webhook {lane.webhook_id}")

    deliveries.settle(lane, [], Failure(waiting(deliveries, lane)[0], "gone", 3600, disabling=disabling))

    assert not store.all()[0].enabled
    assert deliveries.waiting(lane, 100) is None
    assert [entry.action for entry in AuditLog(database).page(10)] == ["webhook.disable", "webhook.create"]
    sql.execute("UPDATE webhook_deliveries SET next_at = now() - interval '1 minute'")
    assert deliveries.claim([], 60) == []
    sql.execute("UPDATE webhook_deliveries SET next_at = now() + interval '1 hour'")
    store.set_enabled(lane.webhook_id, DEED, enabled=True)
    assert deliveries.claim([], 60) == [lane]
    assert [(each.attempts, each.failing_since) for each in waiting(deliveries, lane)] == [(0, None)] * 3


# What administrators do.


def test_there_are_never_more_than_there_may_be(store: WebhookStore, database: Database, sql: Sql) -> None:
    """Whoever asks while the last place is being taken waits, and is then refused; that is not noted."""
    for _ in range(WEBHOOKS_MAX - 1):
        create(store)
    answers: list[Webhook | None] = []

    def ask() -> None:
        answers.append(store.create(URL, OUTCOME_TYPES, SECRET, lambda _: DEED))

    second = threading.Thread(target=ask)

    def waits() -> bool:
        waiting = sql.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
        return waiting == (1,) or not second.is_alive()

    def take_time(_: Webhook) -> Deed:
        second.start()
        wait_until(waits, 10, "the second waits for the first")
        return DEED

    assert store.create(URL, OUTCOME_TYPES, SECRET, take_time) is not None
    second.join(10)

    assert answers == [None]
    assert len(store.all()) == len(AuditLog(database).page(100)) == WEBHOOKS_MAX


def test_a_switch_that_changes_nothing_is_not_noted(store: WebhookStore, database: Database) -> None:
    """The log has what was done."""
    webhook = create(store)

    assert store.set_enabled(webhook.id, DEED, enabled=True) == webhook

    assert len(AuditLog(database).page(10)) == 1


def test_a_second_test_takes_the_place_of_the_first(
    store: WebhookStore, deliveries: WebhookDeliveryStore, sql: Sql
) -> None:
    """It is another message, sent at once, whatever became of the first; and it does not pass for it."""
    webhook = create(store)
    lane = Lane(webhook.id, 0)
    store.queue_test(webhook.id, DEED)
    deliveries.claim([], 60)
    [first] = waiting(deliveries, lane)
    deliveries.settle(lane, [], Failure(first, "it answered 500", 3600))

    assert store.queue_test(webhook.id, DEED)

    [second] = waiting(deliveries, lane)
    assert second.message_id != first.message_id
    assert (second.outcome, second.attempts, second.failing_since) == (None, 0, None)
    assert deliveries.claim([], 60) == [lane]
    # The answer to the first comes late.
    deliveries.settle(lane, [first], None)
    assert waiting(deliveries, lane) == [second]
    deliveries.settle(lane, [second], None)
    assert waiting(deliveries, lane) == []


def test_the_old_secret_signs_for_a_day(store: WebhookStore, deliveries: WebhookDeliveryStore, sql: Sql) -> None:
    """Then it does not."""
    webhook = create(store)
    lane = Lane(webhook.id, 0)

    until = store.rotate(webhook.id, b"1" * 32, DEED)

    assert until is not None
    assert timedelta(hours=23, minutes=59) < until - datetime.now(UTC) < timedelta(hours=24, minutes=1)
    found = deliveries.waiting(lane, 1)
    assert found is not None
    assert found[0].secrets == [b"1" * 32, SECRET]
    assert SECRET.decode() not in repr(found)
    sql.execute("UPDATE webhooks SET previous_until = now()")
    found = deliveries.waiting(lane, 1)
    assert found is not None
    assert found[0].secrets == [b"1" * 32]


def test_with_a_webhook_all_that_waits_for_it_goes(
    store: WebhookStore, lane: Lane, database: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts, however much that is; and nobody else's."""
    monkeypatch.setattr(webhooks, "_CLEARED_AT_ONCE", 2)
    other = create(store)
    sql.execute("INSERT INTO webhook_deliveries VALUES (%s, 1, 1)", (other.id,))
    removal = Deed(actor_id=None, action="webhook.delete", subject=f"webhook {lane.webhook_id}")

    assert store.delete(lane.webhook_id, removal)

    assert copied(sql) == [(other.id, 1, 1)]
    assert store.all() == [other]
    assert not store.delete(lane.webhook_id, removal)
    assert [entry.action for entry in AuditLog(database).page(10)].count("webhook.delete") == 1


def test_what_is_not_there_is_not_changed(store: WebhookStore, database: Database) -> None:
    """And nothing is noted."""
    assert store.standing(1) is None
    assert store.set_enabled(1, DEED, enabled=True) is None
    assert store.rotate(1, SECRET, DEED) is None
    assert not store.queue_test(1, DEED)
    assert not store.delete(1, DEED)
    assert AuditLog(database).page(10) == []


def test_whoever_may_only_read_reads_no_secret(sql: Sql) -> None:
    """Reports run on replicas, in more hands than the service."""
    assert sql.execute(
        "SELECT has_table_privilege('aurora_reader', 'webhooks', 'SELECT'),"
        " has_any_column_privilege('aurora_reader', 'webhooks', 'SELECT')"
    ).fetchone() == (False, False)
