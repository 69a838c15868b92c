"""Logins in a real PostgreSQL: refresh tokens used once each, families that end together, logout, passwords."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from aurora_atlan.config import Settings
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.refresh_tokens import NewRefreshToken
from aurora_atlan.persistence.sessions import SessionStore, Successor
from aurora_atlan.persistence.users import Credentials, NewUser, User, UserStore
from harness_sales import wait_until

Sql = psycopg.Connection[Any]

ADA = NewUser(name="Ada", email="ada@example.com", password_hash="a hash")
LATER = timedelta(days=30)
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def roomy(settings: Settings) -> Iterator[Database]:
    """A pool with a connection for each of many threads, who wait for each other a little longer."""
    database = Database(replace(settings, pool_max=20, pool_timeout_s=30.0, lock_timeout_s=3.5))
    database.open()
    yield database
    database.close()


@pytest.fixture
def sessions(roomy: Database) -> SessionStore:
    """What is tested."""
    return SessionStore(roomy)


@pytest.fixture
def users(roomy: Database) -> UserStore:
    """The accounts beside it."""
    return UserStore(roomy)


def token(seed: int, family: UUID | None = None) -> NewRefreshToken:
    return NewRefreshToken(_hash(seed), family or uuid4(), datetime.now(UTC) + LATER)


def successor(seed: int) -> Successor:
    return Successor(_hash(seed), datetime.now(UTC) + LATER)


def _hash(seed: int) -> bytes:
    return bytes([seed]) * 32


def registered(users: UserStore, seed: int = 1, user: NewUser = ADA) -> User:
    made = users.create(user, token(seed))
    assert made is not None
    return made


def credentials(users: UserStore) -> Credentials:
    found = users.credentials(ADA.email)
    assert found is not None
    return found


def stored(sql: Sql) -> list[tuple[int, bool, bool]]:
    """Return each token by its seed, and whether it is used and revoked."""
    rows = sql.execute(
        "SELECT get_byte(token_hash, 0), used_at IS NOT NULL, revoked_at IS NOT NULL FROM refresh_tokens ORDER BY 1"
    )
    return rows.fetchall()


def all_at_once(*actions: Callable[[], Any]) -> list[Any]:
    """Do all of it in threads that start together; return what they returned, in the same order."""
    barrier, results = threading.Barrier(len(actions)), dict[int, Any]()

    def act(number: int, action: Callable[[], Any]) -> None:
        barrier.wait(30)
        results[number] = action()

    threads = [threading.Thread(target=act, args=numbered) for numbered in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [results[number] for number in range(len(actions))]


# Refreshing.


def test_a_refresh_token_is_used_once_and_has_a_successor_in_its_family(
    sessions: SessionStore, users: UserStore, sql: Sql
) -> None:
    """The answer is the user as of now."""
    user = registered(users)

    assert sessions.rotate(_hash(1), successor(2)) == user
    assert sessions.rotate(_hash(2), successor(3)) == user

    assert stored(sql) == [(1, True, False), (2, True, False), (3, False, False)]
    assert sql.execute("SELECT count(DISTINCT family) FROM refresh_tokens").fetchone() == (1,)
    assert sql.execute("SELECT max(expires_at) > now() + '29 days' FROM refresh_tokens").fetchone() == (True,)


def test_the_reuse_of_a_spent_token_ends_its_family_and_no_other(
    sessions: SessionStore, users: UserStore, sql: Sql
) -> None:
    """Whoever of the two was the thief, both are out; other logins of the user go on."""
    user = registered(users)
    sessions.begin(credentials(users), token(9))
    sessions.rotate(_hash(1), successor(2))

    assert sessions.rotate(_hash(1), successor(3)) is None
    assert sessions.rotate(_hash(2), successor(4)) is None

    assert stored(sql) == [(1, True, True), (2, False, True), (9, False, False)]
    assert sessions.rotate(_hash(9), successor(10)) == user


def test_an_expired_token_is_no_token(sessions: SessionStore, users: UserStore, sql: Sql) -> None:
    """It was not used, so nobody stole it: its family stays."""
    family = uuid4()
    user = users.create(ADA, NewRefreshToken(_hash(1), family, datetime.now(UTC) - timedelta(seconds=1)))
    assert user is not None
    sessions.begin(credentials(users), token(2, family))

    assert sessions.rotate(_hash(1), successor(3)) is None
    assert sessions.rotate(_hash(7), successor(3)) is None
    assert sessions.rotate(_hash(2), successor(3)) == user


def test_expired_tokens_of_the_user_are_removed_with_the_next_login_or_refresh(
    sessions: SessionStore, users: UserStore, sql: Sql
) -> None:
    """Nobody else's, and what is spent or revoked stays until it expires."""
    registered(users)
    other = registered(users, 5, replace(ADA, email="eve@example.com"))
    sessions.rotate(_hash(1), successor(2))
    sql.execute("UPDATE refresh_tokens SET expires_at = now() WHERE get_byte(token_hash, 0) IN (1, 5)")

    sessions.rotate(_hash(2), successor(3))
    assert [seed for seed, *_ in stored(sql)] == [2, 3, 5]

    sessions.begin(replace(credentials(users), user=other), token(6))
    assert [seed for seed, *_ in stored(sql)] == [2, 3, 6]


def test_of_twenty_who_use_one_token_at_once_one_wins_and_the_reuse_ends_the_family(
    sessions: SessionStore, users: UserStore, sql: Sql
) -> None:
    """The winner's own successor is revoked, too: nobody can tell which of them was the thief."""
    user = registered(users)

    answers = all_at_once(
        *(lambda seed=seed: sessions.rotate(_hash(1), successor(seed)) for seed in range(10, 30))  # type: ignore[misc]
    )

    assert [answer for answer in answers if answer is not None] == [user]
    [won] = [seed for seed, answer in zip(range(10, 30), answers, strict=True) if answer]
    assert stored(sql) == [(1, True, True), (won, False, True)]
    assert sessions.rotate(_hash(won), successor(40)) is None


@pytest.mark.parametrize("turn", range(5))
def test_no_successor_slips_out_beside_a_logout(sessions: SessionStore, users: UserStore, sql: Sql, turn: int) -> None:
    """Whichever is first, after both no refresh token is alive."""
    user = registered(users)

    all_at_once(lambda: sessions.rotate(_hash(1), successor(2)), lambda: sessions.end_all(user.id))

    assert [revoked for _, _, revoked in stored(sql)] in ([True], [True, True])


def test_no_successor_slips_out_beside_a_reuse(sessions: SessionStore, users: UserStore, sql: Sql) -> None:
    """The thief refreshes while the owner's spent token comes in."""
    for turn in range(5):
        first = 50 + 10 * turn
        registered(users, first, replace(ADA, email=f"ada-{turn}@example.com"))
        sessions.rotate(_hash(first), successor(first + 1))

        def refresh(first: int = first) -> User | None:
            return sessions.rotate(_hash(first + 1), successor(first + 2))

        def reuse(first: int = first) -> User | None:
            return sessions.rotate(_hash(first), successor(first + 3))

        all_at_once(refresh, reuse)

        assert {revoked for seed, _, revoked in stored(sql) if seed >= first} == {True}


def test_a_refresh_waits_for_a_logout_that_is_not_committed_and_then_fails(
    sessions: SessionStore, users: UserStore, sql: Sql, database_url: str
) -> None:
    """The order of the two is that of their locks on the user's row."""
    user = registered(users)
    answers: list[User | None] = []
    with psycopg.connect(database_url) as stranger:
        stranger.execute("UPDATE users SET token_version = 2 WHERE id = %s", (user.id,))
        thread = threading.Thread(target=lambda: answers.append(sessions.rotate(_hash(1), successor(2))))
        thread.start()
        wait_until(lambda: sql.execute(BLOCKED).fetchone() == (1,), 5, "the refresh waits")
        stranger.execute("UPDATE refresh_tokens SET revoked_at = now()")
    thread.join(10)

    assert answers == [None]
    assert stored(sql) == [(1, False, True)]


def test_bookings_of_a_user_do_not_wait_for_his_tokens(
    sessions: SessionStore, users: UserStore, database_url: str, sql: Sql
) -> None:
    """A booking refers to its user's row, and must not meet the lock on it."""
    user = registered(users)
    with psycopg.connect(database_url) as stranger:
        stranger.execute("SELECT FROM refresh_tokens FOR UPDATE")
        thread = threading.Thread(target=sessions.rotate, args=(_hash(1), successor(2)))
        thread.start()
        wait_until(lambda: sql.execute(BLOCKED).fetchone() == (1,), 5, "the refresh is under way")

        sql.execute("SET lock_timeout = '100ms'")
        sql.execute("INSERT INTO events (name, venue, time) VALUES ('Concert', 'Hall', now())")
        sql.execute(
            "INSERT INTO bookings (job_id, event_id, user_id, quantity, slot, created_at)"
            " SELECT gen_random_uuid(), id, %s, 1, 1, now() FROM events",
            (user.id,),
        )
    thread.join(10)


# Logging in and out.


def test_a_login_returns_the_user_as_of_now(sessions: SessionStore, users: UserStore) -> None:
    """A role given while the password was verified is in the token."""
    registered(users)
    verified = credentials(users)
    users.promote(ADA.email, "OPS")

    user = sessions.begin(verified, token(2))

    assert user is not None
    assert (user.role, user.token_version) == ("OPS", 2)


def test_a_password_that_was_changed_meanwhile_lets_nobody_in(
    sessions: SessionStore, users: UserStore, sql: Sql
) -> None:
    """A hash of the same password made with other costs, or a logout, do."""
    registered(users)
    before = credentials(users)
    users.replace_password_hash(before.user.id, "a hash", "a newer hash")
    assert sessions.begin(before, token(2)) is not None
    rehashed = credentials(users)
    sessions.end_all(before.user.id)
    assert sessions.begin(rehashed, token(3)) is not None

    assert sessions.change_password(credentials(users), "another hash", token(4)) is not None

    assert sessions.begin(rehashed, token(5)) is None
    assert [seed for seed, _, revoked in stored(sql) if not revoked] == [4]


def test_logging_out_voids_all_tokens_of_one_user(sessions: SessionStore, users: UserStore, sql: Sql) -> None:
    """Access tokens by their version, and every family of refresh tokens."""
    user = registered(users)
    other = registered(users, 5, replace(ADA, email="eve@example.com"))
    sessions.begin(credentials(users), token(2))

    assert sessions.end_all(user.id) == 2
    assert sessions.end_all(user.id) == 3

    assert stored(sql) == [(1, False, True), (2, False, True), (5, False, False)]
    assert users.by_id(other.id) == other
    assert sessions.end_all(other.id + 1) is None
    assert sessions.rotate(_hash(2), successor(3)) is None


# Changing the password.


def test_a_new_password_ends_all_logins_but_the_one_it_begins(
    sessions: SessionStore, users: UserStore, sql: Sql
) -> None:
    """In one transaction."""
    user = registered(users)

    changed = sessions.change_password(credentials(users), "another hash", token(2))

    assert changed == replace(user, token_version=2)
    assert credentials(users).password_hash == "another hash"
    assert stored(sql) == [(1, False, True), (2, False, False)]


def test_of_two_changes_of_a_password_at_once_one_wins(sessions: SessionStore, users: UserStore, sql: Sql) -> None:
    """The other would have had to know the first one's new password."""
    registered(users)
    verified = credentials(users)

    answers = all_at_once(
        lambda: sessions.change_password(verified, "one hash", token(2)),
        lambda: sessions.change_password(verified, "another hash", token(3)),
    )

    assert len([answer for answer in answers if answer is not None]) == 1
    assert credentials(users).user.token_version == 2
    assert len([seed for seed, _, revoked in stored(sql) if not revoked]) == 1
