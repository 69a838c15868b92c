"""Accounts, refresh tokens and page views in a real PostgreSQL, as the service's own role."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from aurora_atlan.config import Settings
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import DataError, StoreError
from aurora_atlan.persistence.events import EventStore, NewEvent
from aurora_atlan.persistence.impressions import ImpressionCounter
from aurora_atlan.persistence.refresh_tokens import NewRefreshToken
from aurora_atlan.persistence.users import NewUser, User, UserStore

ADA = NewUser(name="Ada", email="ada@example.com", password_hash="a hash")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    database.open()
    yield database
    database.close()


@pytest.fixture
def users(database: Database) -> UserStore:
    return UserStore(database)


@pytest.fixture
def inspector(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def refresh_token(seed: int = 1) -> NewRefreshToken:
    return NewRefreshToken(bytes([seed]) * 32, uuid4(), datetime.now(UTC) + timedelta(days=30))


def created(users: UserStore, user: NewUser = ADA) -> User:
    made = users.create(user)
    assert made is not None
    return made


def test_a_user_is_created_and_found(users: UserStore):
    user = created(users)

    assert (user.name, user.email, user.role, user.token_version) == ("Ada", "ada@example.com", "USER", 1)
    assert user.created_at.tzinfo is not None
    assert users.by_id(user.id) == user
    assert users.by_id(user.id + 1) is None


def test_only_the_credentials_carry_the_hash(users: UserStore):
    user = created(users)
    credentials = users.credentials("ada@example.com")

    assert credentials is not None
    assert credentials.user == user
    assert credentials.password_hash == "a hash"
    assert users.credentials("nobody@example.com") is None
    assert "a hash" not in repr(user)


def test_an_address_is_taken_once(users: UserStore):
    user = created(users)

    assert users.create(NewUser("Eve", ADA.email, "another hash")) is None
    assert users.by_id(user.id) == user


def test_of_two_who_register_the_same_address_at_once_one_wins(users: UserStore):
    barrier, made = threading.Barrier(4), []

    def register(number: int) -> None:
        barrier.wait(10)
        made.append(users.create(ADA, refresh_token(number)))

    threads = [threading.Thread(target=register, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 4
    assert len([user for user in made if user is not None]) == 1


def test_a_user_and_the_first_refresh_token_are_one_transaction(users: UserStore, inspector: psycopg.Connection):
    token = refresh_token()
    user = users.create(ADA, token)
    assert user is not None
    stored = inspector.execute("SELECT user_id, family, expires_at, used_at FROM refresh_tokens").fetchall()
    assert stored == [(user.id, token.family, token.expires_at, None)]

    with pytest.raises(DataError):
        users.create(NewUser("Eve", "eve@example.com", "a hash"), NewRefreshToken(b"short", uuid4(), token.expires_at))
    assert users.credentials("eve@example.com") is None


def test_promotion_voids_the_tokens_issued_before(users: UserStore, inspector: psycopg.Connection):
    user = created(users)
    inspector.execute("UPDATE users SET token_changed_at = '2000-01-01T00:00:00Z'")
    promoted = users.promote("ada@example.com", "ADMIN")

    assert promoted is not None
    assert (promoted.id, promoted.role, promoted.token_version) == (user.id, "ADMIN", 2)
    assert inspector.execute("SELECT token_changed_at > '2026-01-01' FROM users").fetchone() == (True,)
    assert users.promote("nobody@example.com", "ADMIN") is None


def test_a_hash_is_replaced_only_if_it_is_still_the_same(users: UserStore):
    user = created(users)
    users.replace_password_hash(user.id, "not the hash", "a newer hash")
    assert users.credentials(ADA.email).password_hash == "a hash"
    users.replace_password_hash(user.id, "a hash", "a newer hash")
    assert users.credentials(ADA.email).password_hash == "a newer hash"


@pytest.mark.parametrize(
    "user",
    [
        NewUser("a\x00b", "a@b.c", "hash"),
        NewUser("\ud800", "a@b.c", "hash"),
        NewUser("", "a@b.c", "hash"),
        NewUser("x" * 201, "a@b.c", "hash"),
        NewUser("Ada", "a@b.c", "hash", "ROOT"),
    ],
)
def test_what_the_database_refuses_is_an_error_of_the_data(users: UserStore, user: NewUser):
    with pytest.raises(DataError):
        users.create(user)
    assert created(users)


def test_synthetic_buyers_are_many_and_cannot_log_in(users: UserStore, inspector: psycopg.Connection):
    ids = list(users.create_synthetic(12_000))

    assert len(set(ids)) == 12_000
    row = inspector.execute(
        "SELECT count(*), count(DISTINCT email), count(password_hash), min(role), max(role) FROM users"
    ).fetchone()
    assert row == (12_000, 12_000, 0, "USER", "USER")
    assert len(set(users.create_synthetic(3)) | set(ids)) == 12_003
    assert list(users.create_synthetic(0)) == []


@pytest.fixture
def event_id(database: Database) -> int:
    return EventStore(database).create(NewEvent("Concert", "Hall", datetime.now(UTC), 100)).id


def impressions_of(database: Database, event_id: int) -> int:
    event = EventStore(database).get(event_id)
    assert event is not None
    return event.impressions


def test_views_are_counted_in_memory_until_they_are_flushed(database: Database, event_id: int):
    counter = ImpressionCounter(database)
    other = EventStore(database).create(NewEvent("Play", "Hall", datetime.now(UTC), 100)).id
    assert [counter.count(event_id) for _ in range(3)] == [1, 2, 3]
    assert counter.count(other) == 1
    assert impressions_of(database, event_id) == 0

    counter.flush()
    assert (impressions_of(database, event_id), impressions_of(database, other)) == (3, 1)
    assert (counter.pending(event_id), counter.pending(other)) == (0, 0)
    counter.count(event_id)
    counter.flush()
    counter.flush()
    assert impressions_of(database, event_id) == 4


def test_views_are_kept_when_they_cannot_be_flushed(settings: Settings, event_id: int):
    database = Database(settings)
    database.open()
    counter = ImpressionCounter(database)
    counter.count(event_id)
    database.close()
    with pytest.raises(StoreError):
        counter.flush()
    assert counter.pending(event_id) == 1


def test_no_view_is_lost_between_threads(database: Database, event_id: int):
    counter = ImpressionCounter(database)

    def view() -> None:
        for _ in range(500):
            counter.count(event_id)

    threads = [threading.Thread(target=view) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counter.flush()
    for thread in threads:
        thread.join()
    counter.flush()
    assert impressions_of(database, event_id) == 2_000


def test_views_do_not_wait_for_a_sale(database: Database, event_id: int, inspector: psycopg.Connection):
    counter = ImpressionCounter(database)
    counter.count(event_id)
    with inspector.transaction():
        inspector.execute("SELECT FROM event_inventory WHERE event_id = %s FOR UPDATE", (event_id,))
        counter.flush()
        assert impressions_of(database, event_id) == 1
