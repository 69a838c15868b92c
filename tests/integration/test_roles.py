"""Roles in a real PostgreSQL, and deeds that are noted in the very transaction that does them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from aurora_atlan.actors.errors import UnknownEventError
from aurora_atlan.persistence.audit_log import AuditLog, Deed, NotedDeed
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.errors import DataError
from aurora_atlan.persistence.events import Event, EventStore, NewEvent
from aurora_atlan.persistence.users import NewUser, RoleRefusal, User, UserStore
from aurora_atlan.supervisor import Supervisor

Sql = psycopg.Connection[Any]

CONCERT = NewEvent("Concert", "Hall", datetime(2027, 6, 1, 20, tzinfo=UTC), 100)


@pytest.fixture
def users(database: Database) -> UserStore:
    """The accounts."""
    return UserStore(database)


@pytest.fixture
def log(database: Database) -> AuditLog:
    """What was noted."""
    return AuditLog(database)


def make(users: UserStore, name: str, role: str = "USER") -> User:
    user = users.create(NewUser(name, f"{name}@example.com", "a hash", role))
    assert user is not None
    return user


def deed_of(before: User, after: User) -> Deed:
    return Deed(
        actor_id=before.id,
        action="user.role",
        subject=f"user {after.id}",
        ip="192.0.2.1",
        request_id="the-request",
        before={"role": before.role},
        after={"role": after.role},
    )


# Roles.


def test_a_role_is_changed_and_noted(users: UserStore, log: AuditLog, sql: Sql) -> None:
    """It voids the access tokens; refresh tokens lead to ones with the new role."""
    ada = make(users, "ada")

    changed = users.change_role(ada.id, "OPS", deed_of)

    assert changed == replace(ada, role="OPS", token_version=2)
    assert users.by_id(ada.id) == changed
    assert sql.execute("SELECT token_changed_at > now() - interval '1 minute' FROM users").fetchone() == (True,)
    [entry] = log.page(10)
    assert replace(entry, id=1, at=CONCERT.time) == NotedDeed(
        1,
        CONCERT.time,
        ada.id,
        "user.role",
        f"user {ada.id}",
        "192.0.2.1",
        "the-request",
        {"role": "USER"},
        {"role": "OPS"},
    )


def test_the_same_role_again_changes_voids_and_notes_nothing(users: UserStore, log: AuditLog) -> None:
    """Also the last administrator may be made one."""
    ada = make(users, "ada", "ADMIN")

    assert users.change_role(ada.id, "ADMIN", deed_of) == ada
    assert log.page(10) == []


def test_an_unknown_user_has_no_role(users: UserStore, log: AuditLog) -> None:
    """And nothing is noted."""
    assert users.change_role(2**53 - 1, "OPS", deed_of) is RoleRefusal.UNKNOWN_USER
    assert log.page(10) == []


def test_the_last_administrator_who_can_log_in_stays_one(users: UserStore, log: AuditLog, sql: Sql) -> None:
    """One without a password is none to rely on."""
    ada = make(users, "ada", "ADMIN")
    machine = make(users, "machine", "ADMIN")
    sql.execute("UPDATE users SET password_hash = NULL WHERE id = %s", (machine.id,))

    assert users.change_role(ada.id, "USER", deed_of) is RoleRefusal.LAST_ADMIN
    assert users.change_role(machine.id, "USER") == replace(machine, role="USER", token_version=2)

    assert users.by_id(ada.id) == ada
    assert log.page(10) == []
    make(users, "eve", "ADMIN")
    assert users.change_role(ada.id, "USER", deed_of) == replace(ada, role="USER", token_version=2)


@pytest.mark.parametrize("turn", range(5))
def test_two_administrators_who_demote_each_other_at_once_leave_one(users: UserStore, turn: int) -> None:
    """Each finds the other one an administrator, unless one looks after the other."""
    admins = [make(users, name, "ADMIN") for name in ("ada", "eve")]
    barrier = threading.Barrier(2)
    answers: list[User | RoleRefusal] = []

    def demote(user: User) -> None:
        barrier.wait(10)
        answers.append(users.change_role(user.id, "USER", deed_of))

    threads = [threading.Thread(target=demote, args=(user,)) for user in admins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len([answer for answer in answers if answer is RoleRefusal.LAST_ADMIN]) == 1
    assert sorted(users.by_id(user.id).role for user in admins) == ["ADMIN", "USER"]  # type: ignore[union-attr]


# Neither a deed without its note, nor a note without its deed.


def test_a_role_whose_note_is_refused_is_not_changed(users: UserStore, log: AuditLog) -> None:
    """They are one transaction."""
    ada = make(users, "ada")

    with pytest.raises(DataError):
        users.change_role(ada.id, "OPS", lambda before, after: replace(deed_of(before, after), action=""))

    assert users.by_id(ada.id) == ada
    assert log.page(10) == []


def test_an_event_and_its_note_are_one_transaction(database: Database, log: AuditLog) -> None:
    """Programs that create events without a deed leave no note."""
    events = EventStore(database)

    def created(event: Event) -> Deed:
        return Deed(actor_id=1, action="event.create", subject=f"event {event.id}", after={"name": event.name})

    events.create(CONCERT)
    event = events.create(CONCERT, created)
    with pytest.raises(DataError):
        events.create(CONCERT, lambda event: replace(created(event), subject=""))

    [entry] = log.page(10)
    assert (entry.action, entry.subject, entry.after) == ("event.create", f"event {event.id}", {"name": "Concert"})
    assert [shown.id for shown in events.page(10)] == [event.id - 1, event.id]


def test_a_pause_is_noted_with_its_deed_and_not_without(
    supervisor: Supervisor, make_event: Callable[..., int], log: AuditLog, sql: Sql
) -> None:
    """One event or all; what embeds the service needs none."""
    event_id = make_event()
    one = Deed(actor_id=1, action="queue.pause", subject=f"event {event_id}")
    every = Deed(actor_id=1, action="queue.resume", subject="all events")

    supervisor.pause(event_id, deed=one)
    supervisor.resume(deed=every)
    supervisor.pause()
    supervisor.resume(event_id)

    assert [(entry.action, entry.subject) for entry in log.page(10)] == [
        ("queue.resume", "all events"),
        ("queue.pause", f"event {event_id}"),
    ]


def test_a_pause_that_is_not_made_is_not_noted(
    supervisor: Supervisor, make_event: Callable[..., int], log: AuditLog, sql: Sql
) -> None:
    """Neither of an unknown event, nor one whose note is refused."""
    event_id = make_event()
    deed = Deed(actor_id=1, action="queue.pause", subject="event 9")

    with pytest.raises(UnknownEventError):
        supervisor.pause(event_id + 1, deed=deed)
    with pytest.raises(DataError):
        supervisor.pause(event_id, deed=replace(deed, action=""))

    assert log.page(10) == []
    assert sql.execute("SELECT paused FROM event_inventory").fetchone() == (False,)
