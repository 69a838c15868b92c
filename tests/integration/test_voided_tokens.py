"""How soon a token that was voided is refused: here at once, in other processes within two seconds."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from aurora_atlan.config import Settings
from aurora_atlan.http.server import Server
from aurora_atlan.http.tokens import TokenIssuer
from aurora_atlan.persistence.audit_log import AuditLog
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.embedded import EmbeddedPostgres
from aurora_atlan.persistence.migrate import migrate
from aurora_atlan.persistence.ownership import OwnerLock, new_owner
from aurora_atlan.persistence.token_versions import TokenVersions
from aurora_atlan.persistence.users import NewUser, UserStore
from aurora_atlan.supervisor import Supervisor
from harness.command_line import run_command
from harness.short_paths import short_folder
from harness_sales import running, wait_until

Sql = psycopg.Connection[Any]

PASSWORD = "correct horse battery"
HISTORY = "/api/bookings/history"
# The promise is two seconds; a busy machine gets one more.
WITHIN_S = 3.0


@dataclass
class Instance:
    """A server over a supervisor of its own: to the others it is another process."""

    supervisor: Supervisor
    server: Server

    def call(self, method: str, path: str, token: str | None = None, body: Any = None) -> tuple[int, Any]:
        """Send a request and return the status and the body."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")

    def register(self, name: str = "ada") -> Any:
        """Make an account and return what it was answered."""
        account = {"name": name, "email": f"{name}@example.com", "password": PASSWORD}
        status, answer = self.call("POST", "/api/auth/register", body=account)
        assert status == 200
        return answer

    def takes(self, token: str) -> bool:
        """Tell whether a token is good here."""
        status, _ = self.call("GET", HISTORY, token)
        assert status in (200, 401, 403)
        return status != 401


@pytest.fixture
def instance(settings: Settings) -> Iterator[Callable[..., Instance]]:
    """Starts instances over the same stores, ready when they are returned; stopped afterwards."""
    with ExitStack() as stack:

        def start(**changes: Any) -> Instance:
            changed = replace(settings, **{"rate_limits": "off", **changes})
            supervisor = stack.enter_context(running(changed))
            server = Server(supervisor, changed)
            server.start()
            stack.callback(server.stop, 5)
            return Instance(supervisor, server)

        yield start


def make_admin(instance: Instance) -> str:
    """Return the token of an administrator."""
    answer = instance.register("admin")
    assert UserStore(instance.supervisor.database).promote("admin@example.com", "ADMIN")
    return TokenIssuer(instance.supervisor.settings).issue(answer["user"]["id"], "ADMIN", 2)


def _log_out(here: Instance, ada: Any) -> None:
    assert here.call("POST", "/api/auth/logout", ada["token"])[0] == 200


def _change_password(here: Instance, ada: Any) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": "battery staple"}
    assert here.call("POST", "/api/auth/password", ada["token"], body)[0] == 200


def _change_role(here: Instance, ada: Any) -> None:
    admin = make_admin(here)
    status, user = here.call("PUT", f"/api/admin/users/{ada['user']['id']}/role", admin, {"role": "OPS"})
    assert (status, user["role"]) == (200, "OPS")


@pytest.mark.parametrize("void", [_log_out, _change_password, _change_role])
def test_a_voided_token_is_refused_here_at_once_and_elsewhere_within_two_seconds(
    instance: Callable[..., Instance], void: Callable[[Instance, Any], None]
) -> None:
    """Both had taken it before, and so know it by heart."""
    here, there = instance(), instance()
    ada = here.register()
    bystander = here.register("eve")["token"]
    assert here.takes(ada["token"])
    assert there.takes(ada["token"])

    void(here, ada)

    assert not here.takes(ada["token"])
    wait_until(lambda: not there.takes(ada["token"]), WITHIN_S, "the other instance refuses it, too")
    assert here.takes(bystander)
    assert there.takes(bystander)


def test_a_token_that_is_newer_than_an_instance_knows_is_taken(instance: Callable[..., Instance]) -> None:
    """Who has just changed his password somewhere is in everywhere."""
    here, there = instance(), instance()
    ada = here.register()
    body = {"currentPassword": PASSWORD, "newPassword": "battery staple"}
    _, changed = here.call("POST", "/api/auth/password", ada["token"], body)

    assert there.takes(changed["token"])
    wait_until(lambda: not there.takes(ada["token"]), WITHIN_S, "it has heard of the change")
    assert there.takes(changed["token"])


def test_what_was_voided_before_a_start_is_refused_from_when_the_service_is_ready(
    instance: Callable[..., Instance],
) -> None:
    """Readiness waits for the first look, which goes back as far as tokens live."""
    first = instance()
    ada = first.register()
    eve = first.register("eve")
    _log_out(first, ada)

    second = instance()

    assert not second.takes(ada["token"])
    assert second.takes(eve["token"])


def test_a_promotion_on_the_command_line_voids_what_was_issued_before(
    instance: Callable[..., Instance], settings: Settings, database_url: str
) -> None:
    """It comes from another process, and the refresh token leads to a token with the new role."""
    here = instance()
    ada = here.register()
    assert here.takes(ada["token"])

    done = run_command(
        *("create-admin", "--email", "ada@example.com", "--name", "Ada"), environ={"DATABASE_URL": database_url}
    )

    assert done.returncode == 0, done.stderr
    wait_until(lambda: not here.takes(ada["token"]), WITHIN_S, "the old token is refused")
    status, refreshed = here.call("POST", "/api/auth/refresh", body={"refreshToken": ada["refreshToken"]})
    assert (status, refreshed["user"]["role"]) == (200, "ADMIN")
    assert here.call("GET", "/api/admin/audit", refreshed["token"])[0] == 200


def test_while_postgresql_is_away_the_last_known_state_stands(settings: Settings) -> None:
    """What was voided stays void, what was good stays good; bookings need no PostgreSQL to judge a token."""
    with short_folder() as folder, ExitStack() as stack:
        postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log")
        postgres.start()
        stack.callback(postgres.stop)
        postgres.ensure_database("tickets")
        url = postgres.url("tickets")
        migrate(url)
        changed = replace(settings, database_url=url, migrator_database_url=url, rate_limits="off", pool_timeout_s=0.2)
        supervisor = stack.enter_context(running(changed))
        server = Server(supervisor, changed)
        server.start()
        stack.callback(server.stop, 5)
        here = Instance(supervisor, server)
        ada, eve = here.register(), here.register("eve")
        _log_out(here, ada)

        postgres.stop()
        wait_until(lambda: supervisor._switchboard.postgres.is_open, 10, "the service knows that it is away")

        assert here.call("GET", HISTORY, ada["token"])[0] == 401
        assert here.call("GET", HISTORY, eve["token"])[0] == 503


def test_a_full_pool_does_not_hide_a_change(instance: Callable[..., Instance], sql: Sql) -> None:
    """The look is made over a connection of its own."""
    here = instance(pool_min=1, pool_max=1, pool_timeout_s=0.05)
    ada = here.register()

    with here.supervisor.database.transaction():
        sql.execute("UPDATE users SET token_version = 2, token_changed_at = now()")
        wait_until(lambda: here.supervisor.token_versions.least.get(ada["user"]["id"]) == 2, WITHIN_S, "it is learned")
        assert not here.supervisor._switchboard.postgres.is_open


# What PostgreSQL is asked.


@pytest.fixture
def look(database: Database) -> Iterator[Callable[[TokenVersions], None]]:
    """Refreshes versions as the liaison does."""
    lock = OwnerLock(database, new_owner())
    lock.keep()
    yield lambda versions: lock.read(versions.refresh)
    lock.release()


@pytest.fixture
def user_id(database: Database) -> int:
    """A user."""
    user = UserStore(database).create(NewUser("Ada", "ada@example.com", "a hash"))
    assert user is not None
    return user.id


def test_a_change_that_is_committed_late_is_not_missed(
    look: Callable[[TokenVersions], None], user_id: int, database_url: str
) -> None:
    """It bears the time at which its transaction began, which is before looks that did not see it."""
    versions = TokenVersions()
    with psycopg.connect(database_url) as slow:
        slow.execute("UPDATE users SET token_version = 2, token_changed_at = now() WHERE id = %s", (user_id,))
        for _ in range(3):
            look(versions)
        assert dict(versions.least) == {}
    look(versions)

    assert dict(versions.least) == {user_id: 2}


@pytest.mark.parametrize(("age", "known"), [("24 hours", True), ("25 hours", False)])
def test_the_first_look_goes_back_as_far_as_any_token_lives(
    look: Callable[[TokenVersions], None], user_id: int, sql: Sql, age: str, *, known: bool
) -> None:
    """Also of instances with another lifetime, and of tokens for load tests."""
    sql.execute("UPDATE users SET token_version = 2, token_changed_at = now() - %s::interval", (age,))
    versions = TokenVersions()

    look(versions)

    assert (user_id in versions.least) == known


def test_later_looks_go_back_to_the_last_one(look: Callable[[TokenVersions], None], user_id: int, sql: Sql) -> None:
    """And a minute more; what is older was seen."""
    versions = TokenVersions()
    look(versions)
    sql.execute("UPDATE users SET token_version = 2, token_changed_at = now() - interval '61 seconds'")
    look(versions)
    assert dict(versions.least) == {}

    sql.execute("UPDATE users SET token_changed_at = now() - interval '55 seconds'")
    look(versions)
    assert dict(versions.least) == {user_id: 2}


def test_a_clock_that_was_put_back_hides_nothing(look: Callable[[TokenVersions], None], user_id: int, sql: Sql) -> None:
    """After a failover the time may be an earlier one than at the last look."""
    versions = TokenVersions()
    look(versions)
    assert versions._looked_at is not None
    versions._looked_at = versions._looked_at.replace(year=versions._looked_at.year + 1)
    sql.execute("UPDATE users SET token_version = 2, token_changed_at = now()")

    look(versions)

    assert dict(versions.least) == {user_id: 2}


def test_newcomers_are_no_changes(
    look: Callable[[TokenVersions], None], user_id: int, database: Database, sql: Sql
) -> None:
    """A crowd that registers, or is made for a load test, is not even looked at."""
    list(UserStore(database).create_synthetic(10))
    versions = TokenVersions()
    look(versions)

    assert dict(versions.least) == {}
    assert sql.execute("SELECT count(*) FROM users WHERE token_changed_at > '2000-01-01'").fetchone() == (0,)


def test_the_look_uses_the_index(database: Database, sql: Sql) -> None:
    """Every process looks once a second, however many users there are."""
    list(UserStore(database).create_synthetic(20_000))
    sql.execute("UPDATE users SET token_version = 2, token_changed_at = now() WHERE id = 1")
    sql.execute("ANALYZE users")
    scanned = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'users'"
    before = sql.execute(scanned).fetchone()
    assert before is not None
    lock = OwnerLock(database, new_owner())
    lock.keep()
    for _ in range(10):
        # As often as it takes until a statement is prepared, and its plan is a general one.
        lock.read(TokenVersions().refresh)
    lock.release()

    wait_until(lambda: (sql.execute(scanned).fetchone() or before)[1] >= before[1] + 10, 10, "the looks are counted")
    after = sql.execute(scanned).fetchone()
    assert after is not None
    assert after[0] == before[0]


def test_looks_and_notes_at_once_lose_nothing(look: Callable[[TokenVersions], None], user_id: int, sql: Sql) -> None:
    """One thread looks while others note."""
    versions = TokenVersions()
    sql.execute("UPDATE users SET token_version = 2, token_changed_at = now()")
    stop = threading.Event()

    def note(offset: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            versions.note(user_id + offset * 100_000 + number % 1000 + 1, number)

    threads = [threading.Thread(target=note, args=(offset,)) for offset in range(1, 4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        look(versions)
    stop.set()
    for thread in threads:
        thread.join(10)

    assert versions.least[user_id] == 2
    assert sorted(versions.least) == sorted({user for _, user, _ in versions._noted})


def test_a_promotion_is_noted_once_with_no_actor(database: Database, database_url: str) -> None:
    """The command line has no user; doing it again changes nothing."""
    users = UserStore(database)
    user = users.create(NewUser("Ada", "ada@example.com", "a hash"))
    assert user is not None
    for _ in range(2):
        arguments = ("create-admin", "--email", "ada@example.com", "--name", "Ada")
        assert run_command(*arguments, environ={"DATABASE_URL": database_url}).returncode == 0

    [entry] = AuditLog(database).page(10)
    assert (entry.actor_id, entry.action, entry.subject) == (None, "user.role", f"user {user.id}")
    assert (entry.before, entry.after) == ({"role": "USER"}, {"role": "ADMIN"})
    assert users.by_id(user.id) == replace(user, role="ADMIN", token_version=2)


def test_a_new_administrator_is_noted(database: Database, database_url: str) -> None:
    """By the command line, too."""
    arguments = ("create-admin", "--email", "ada@example.com", "--name", "Ada", "--password-file", "-")
    assert run_command(*arguments, environ={"DATABASE_URL": database_url}, given=PASSWORD).returncode == 0

    [entry] = AuditLog(database).page(10)
    assert (entry.actor_id, entry.action, entry.after) == (None, "user.create", {"role": "ADMIN"})
