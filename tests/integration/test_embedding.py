"""A guest in its host: what a program that embeds the supervisor does with it, and what that leaves as it was."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import limits
import psycopg_pool
import pykka
import pytest
import redis
from psycopg.rows import dict_row

from aurora_atlan import (
    AddressTakenError,
    BookTickets,
    ConfigurationError,
    HealthReport,
    JobState,
    Kind,
    NewEvent,
    OutcomeNotice,
    Reason,
    RestartNotice,
    Settings,
    Supervisor,
    UnavailableError,
    UnknownEventError,
    UnknownJobError,
    WatchedConnection,
)
from aurora_atlan.actors.messages import JobsAccepted
from aurora_atlan.persistence.embedded import EmbeddedRedis
from harness.databases import Databases
from harness_sales import make_buyers, running, wait_until

pytestmark = pytest.mark.usefixtures("audit_clean")

SHOWTIME = datetime(2027, 6, 1, 20, tzinfo=UTC)


def _crash(supervisor: Supervisor, event_id: int) -> None:
    cell = wait_until(lambda: supervisor._cells.get(event_id), 5, "the event is known")
    ref = wait_until(lambda: cell.ref, 5, "it has an actor")
    ref.tell(JobsAccepted([object()]))  # type: ignore[list-item]


def _new_event(capacity: int = 10) -> NewEvent:
    return NewEvent("Aurora Night", "Atlan Hall", SHOWTIME, capacity)


def test_a_host_sells_out_an_event(supervisor: Supervisor) -> None:
    """With nothing but the public surface: events, users, bookings, answers, an audit."""
    event = supervisor.create_event(_new_event(capacity=3))
    users = [supervisor.create_user(f"Guest {number}", f"guest{number}@example.org") for number in range(4)]

    receipts = [supervisor.submit(BookTickets(event.id, user.id)) for user in users]
    answers = [supervisor.wait(receipt, timeout=10) for receipt in receipts]

    assert [answer.status for answer in answers] == [JobState.COMPLETED] * 3 + [JobState.FAILED]
    assert answers[3].reason is Reason.SOLD_OUT
    assert supervisor.status(receipts[0]) == supervisor.status(receipts[0].job_id) == answers[0]
    assert supervisor.audit(event.id).ok
    assert supervisor.stats().waiting == 0
    assert answers[0].booking is not None
    assert supervisor.cancel(answers[0].booking.id).status == "cancelled"


def test_what_a_host_asks_wrongly_is_told_in_a_sentence(supervisor: Supervisor) -> None:
    """Nothing is stored of it."""
    with pytest.raises(UnknownEventError):
        supervisor.audit(4711)
    with pytest.raises(UnknownJobError):
        supervisor.wait(uuid4(), timeout=5)
    with pytest.raises(ValueError, match="8 to 128 characters"):
        supervisor.create_user("Ann", "ann@example.org", password="short")
    with pytest.raises(ValueError, match="a role is one of ADMIN, OPS, USER"):
        supervisor.create_user("Ann", "ann@example.org", role="ROOT")
    supervisor.create_user("Ann", "Ann@Example.org")
    with pytest.raises(AddressTakenError):
        supervisor.create_user("Ann's double", "ann@example.ORG")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": " "}, "name has 1 to 200 characters"),
        ({"venue": "x" * 201}, "venue has 1 to 200 characters"),
        ({"capacity": -1}, "0 to 10,000,000 tickets"),
        ({"cap_per_user": 101}, "1 to 100 bookings"),
        ({"time": datetime(2027, 6, 1)}, "time has no time zone"),  # noqa: DTZ001 - the point
        ({"opens_at": SHOWTIME, "closes_at": SHOWTIME}, "closes_at must be later"),
    ],
)
def test_an_impossible_event_is_refused(changes: dict[str, Any], sentence: str) -> None:
    """Before anything asks the database."""
    with pytest.raises(ValueError, match=sentence):
        replace(_new_event(), **changes)


def test_waiting_ends_when_the_time_is_up_and_when_the_supervisor_stops(supervisor: Supervisor) -> None:
    """The job keeps its place."""
    event = supervisor.create_event(_new_event())
    user = supervisor.create_user("Ann", "ann@example.org")
    supervisor.pause(event.id)
    receipt = supervisor.submit(BookTickets(event.id, user.id))
    with pytest.raises(TimeoutError):
        supervisor.wait(receipt, timeout=0.05)

    told: list[BaseException] = []

    def wait() -> None:
        try:
            supervisor.wait(receipt)
        except UnavailableError as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: supervisor.notices._waiting, 5, "it waits")
    supervisor.stop()
    waiting.join(5)

    assert [str(error) for error in told] == [
        "the service is stopping; the job keeps its place, ask for its status later"
    ]


def test_hooks_are_told_and_harm_nothing(
    settings: Settings, databases: Databases, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Outcomes, restarts and health: a hook that raises is told the next thing all the same."""
    outcomes: list[OutcomeNotice] = []
    restarts: list[RestartNotice] = []
    health: list[HealthReport] = []

    def on_restart(notice: RestartNotice) -> None:
        restarts.append(notice)
        raise SystemExit("the host's own trouble")

    def on_health_change(report: HealthReport) -> None:
        health.append(report)
        raise ValueError("the host's own trouble")

    event_id = make_event()
    url = settings.database_url
    assert url is not None
    hooks = {"on_outcome": outcomes.append, "on_restart": on_restart, "on_health_change": on_health_change}
    with running(settings, **hooks) as supervisor:
        for user_id in buyers[:5]:
            supervisor.wait(supervisor.submit(BookTickets(event_id, user_id)), timeout=20)
        wait_until(lambda: len(outcomes) == 5, 10, "all outcomes are told")
        _crash(supervisor, event_id)
        wait_until(lambda: restarts, 10, "the restart is told")
        with databases.out_of_reach(url):
            wait_until(lambda: not supervisor.health().components["postgresql"].ok, 10, "it is noticed")
            wait_until(lambda: any(not report.components["postgresql"].ok for report in health), 10, "it is told")
        wait_until(lambda: health[-1].ready and health[-1].components["postgresql"].ok, 10, "it is told to be well")

    assert [outcome.kind for outcome in outcomes] == [Kind.CONFIRMED] * 5
    assert [outcome.entry_number for outcome in outcomes] == sorted(outcome.entry_number for outcome in outcomes)
    assert [(notice.actor, notice.event_id, notice.quarantined) for notice in restarts] == [
        ("booking", event_id, False)
    ]
    assert "AttributeError" in restarts[0].error
    assert not health[-1].ready


def test_a_hook_that_hangs_holds_up_nothing(
    settings: Settings, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """Bookings are decided, and the stop keeps its time."""
    let_go = threading.Event()

    def hang(_: object) -> None:
        let_go.wait(60)

    event_id = make_event()
    supervisor = Supervisor(settings, on_outcome=hang, on_restart=hang, on_health_change=hang)
    supervisor.start()
    try:
        wait_until(lambda: supervisor.health().ready, 10, "it is ready")
        answers = [
            supervisor.wait(supervisor.submit(BookTickets(event_id, user_id)), timeout=10) for user_id in buyers[:5]
        ]
        began = time.monotonic()
        supervisor.stop(timeout=2)
        took_s = time.monotonic() - began
    finally:
        let_go.set()

    assert {answer.status for answer in answers} == {JobState.COMPLETED}
    assert took_s < 6


@pytest.mark.parametrize("hook", ["on_outcome", "on_restart", "on_health_change"])
def test_a_hook_may_stop_the_supervisor(
    settings: Settings, make_event: Callable[..., int], buyers: list[int], hook: str
) -> None:
    """While another thread does the same: both return in time, and no thread is left."""
    before = set(threading.enumerate())
    took: list[float] = []

    def stop(notice: object) -> None:
        if isinstance(notice, HealthReport) and not notice.ready:
            return
        began = time.monotonic()
        supervisor.stop(timeout=5)
        took.append(time.monotonic() - began)

    event_id = make_event()
    supervisor = Supervisor(settings, **{hook: stop})
    supervisor.start()
    try:
        wait_until(lambda: took or supervisor.health().ready, 10, "it is ready, or stopped already")
        if hook != "on_health_change":
            supervisor.submit(BookTickets(event_id, buyers[0]))
        if hook == "on_restart":
            _crash(supervisor, event_id)
        wait_until(lambda: took, 10, "the hook has stopped it")
    finally:
        supervisor.stop()

    assert max(took) < 6
    wait_until(lambda: not set(threading.enumerate()) - before, 5, "no thread is left")


def test_stopping_during_the_start(settings: Settings) -> None:
    """Whoever stops waits until it has started; whoever starts it later is refused."""
    for _ in range(10):
        supervisor = Supervisor(settings)
        barrier = threading.Barrier(2)
        refused: list[str] = []

        def start(supervisor: Supervisor = supervisor, refused: list[str] = refused, barrier: Any = barrier) -> None:
            barrier.wait(5)
            try:
                supervisor.start()
            except RuntimeError as error:
                refused.append(str(error))

        starting = threading.Thread(target=start)
        starting.start()
        barrier.wait(5)
        began = time.monotonic()
        supervisor.stop(timeout=5)
        assert time.monotonic() - began < 6
        starting.join(5)
        assert refused in ([], ["a supervisor is started once; make another"])
        assert not supervisor.health().ready


def test_a_stop_amid_the_start_has_the_last_word(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for what no longer runs."""
    supervisor = Supervisor(settings)
    open_database = supervisor.database.open
    amid = threading.Event()

    def open_late() -> None:
        amid.set()
        wait_until(supervisor._stop_asked.locked, 5, "somebody stops it")
        open_database()

    monkeypatch.setattr(supervisor.database, "open", open_late)
    starting = threading.Thread(target=supervisor.start)
    starting.start()
    assert amid.wait(5)
    supervisor.stop()
    starting.join(5)

    with pytest.raises(UnavailableError):
        supervisor.wait(uuid4(), timeout=5)


def test_ten_threads_stop_it_while_postgresql_is_away(
    settings: Settings, databases: Databases, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """All of them return within their time."""
    event_id = make_event()
    before = set(threading.enumerate())
    supervisor = Supervisor(settings)
    supervisor.start()
    wait_until(lambda: supervisor.health().ready, 10, "it is ready")
    supervisor.wait(supervisor.submit(BookTickets(event_id, buyers[0])), timeout=10)
    url = settings.database_url
    assert url is not None
    took: list[float] = []
    with databases.out_of_reach(url):
        for user_id in buyers[1:6]:
            supervisor.submit(BookTickets(event_id, user_id))
        barrier = threading.Barrier(10)

        def stop() -> None:
            barrier.wait(5)
            began = time.monotonic()
            supervisor.stop(timeout=4)
            took.append(time.monotonic() - began)

        threads = [threading.Thread(target=stop) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)

    assert len(took) == 10
    assert max(took) < 5
    wait_until(lambda: not set(threading.enumerate()) - before, 10, "no thread is left")
    with running(settings) as successor:
        wait_until(lambda: successor.stats().waiting == 0, 10, "the rest is decided at the next start")


def test_a_stop_that_is_interrupted_stops_the_rest_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Ctrl-C while it drains leaves no thread behind."""
    before = set(threading.enumerate())
    supervisor = Supervisor(settings)
    supervisor.start()
    wait_until(lambda: supervisor.health().ready, 10, "it is ready")

    def interrupted(deadline: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor._watch, "drain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        supervisor.stop()

    wait_until(lambda: not set(threading.enumerate()) - before, 5, "no thread is left")
    supervisor.stop(timeout=1)


def test_before_it_is_started_it_says_so(settings: Settings) -> None:
    """A wrong order is the host's mistake, not an outage."""
    supervisor = Supervisor(settings)

    with pytest.raises(RuntimeError, match="call start"):
        supervisor.submit(BookTickets(1, 1))
    assert not supervisor.health().ready
    supervisor.stop()
    with pytest.raises(RuntimeError, match="started once"):
        supervisor.start()


@pytest.fixture(params=[False, True], ids=["transactions", "autocommit"])
def hosts_pool(request: pytest.FixtureRequest, database_url: str) -> Iterator[Any]:
    """A pool that a host made to its own taste."""
    with psycopg_pool.ConnectionPool(
        database_url,
        connection_class=WatchedConnection,
        min_size=1,
        max_size=6,
        kwargs={"row_factory": dict_row, "autocommit": request.param},
    ) as pool:
        yield pool


def test_a_hosts_pool_and_client_are_used_and_left_as_they_were(
    settings: Settings, hosts_pool: Any, redis_url: str
) -> None:
    """Bookings go through them; afterwards they are open, and no session has anything of ours.

    The client answers in text and repeats by itself; what is made like it does neither.
    """
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    given = replace(settings, database_url=None, redis_url=None, migrator_database_url=None)
    with running(given, pool=hosts_pool, redis_client=client) as supervisor:
        event = supervisor.create_event(_new_event(capacity=5))
        users = [supervisor.create_user(f"Guest {number}", f"guest{number}@example.org") for number in range(8)]
        receipts = [supervisor.submit(BookTickets(event.id, user.id)) for user in users]
        answers = [supervisor.wait(receipt, timeout=10) for receipt in receipts]
        assert [answer.status for answer in answers] == [JobState.COMPLETED] * 5 + [JobState.FAILED] * 3
        assert supervisor.audit(event.id).ok
        assert supervisor.rate_counters.hit_everywhere(limits.parse("5/minute"), "somebody") is None

    assert client.ping()
    with hosts_pool.connection() as connection:
        row = connection.execute("SELECT current_setting('lock_timeout') AS lock, current_user AS who").fetchone()
        assert row["lock"] == "0"
        assert row["who"] != "aurora_app"
        assert connection.answer_within_s is None
    client.close()


def test_a_pool_whose_connections_wait_for_ever_is_refused(settings: Settings, database_url: str) -> None:
    """With what to do about it."""
    with (
        psycopg_pool.ConnectionPool(database_url, min_size=1, open=True) as pool,
        pytest.raises(ConfigurationError, match=r"connection_class=aurora_atlan\.WatchedConnection"),
    ):
        Supervisor(settings, pool=pool)  # type: ignore[arg-type]


def test_a_hosts_connections_outlive_a_redis_that_takes_no_writes(
    settings: Settings, own_redis: EmbeddedRedis, make_event: Callable[..., int], buyers: list[int]
) -> None:
    """What is done to reach Redis anew is done to connections of the supervisor's own."""
    url = own_redis.url()
    with redis.Redis.from_url(url) as client, redis.Redis.from_url(url) as operator:
        held = client.connection_pool.get_connection()
        held.connect()
        given = replace(settings, redis_url=None)
        event_id = make_event()
        with running(given, redis_client=client) as supervisor:
            supervisor.wait(supervisor.submit(BookTickets(event_id, buyers[0])), timeout=10)
            operator.config_set("min-replicas-to-write", 1)
            wait_until(lambda: _refused(supervisor, event_id), 10, "it is refused")
            wait_until(lambda: not supervisor.health().components["redis"].ok, 10, "it is noticed")
            operator.config_set("min-replicas-to-write", 0)
            wait_until(lambda: supervisor.health().components["redis"].ok, 10, "it is over")
        held.send_command("PING")
        assert held.read_response() == b"PONG"
        client.connection_pool.release(held)


def _refused(supervisor: Supervisor, event_id: int) -> bool:
    try:
        supervisor.submit(BookTickets(event_id, 1))
    except UnavailableError:
        return True
    return False


def test_two_supervisors_over_different_stores_in_one_process(
    settings: Settings, databases: Databases, redis_url: str
) -> None:
    """Neither knows of the other: the same ids, other sales."""
    with databases.migrated() as other_url:
        other = replace(
            settings, database_url=other_url, migrator_database_url=other_url, redis_url=_other_database(redis_url)
        )
        with running(settings) as first, running(other) as second:
            events = [supervisor.create_event(_new_event(capacity=1)) for supervisor in (first, second)]
            users = [supervisor.create_user("Ann", "ann@example.org") for supervisor in (first, second)]
            answers = [
                supervisor.wait(supervisor.submit(BookTickets(event.id, user.id)), timeout=10)
                for supervisor, event, user in zip((first, second), events, users, strict=True)
            ]
            assert [answer.status for answer in answers] == [JobState.COMPLETED] * 2
            assert [supervisor.audit().entries for supervisor in (first, second)] == [2, 2]


def _other_database(redis_url: str) -> str:
    assert redis_url.endswith("db=0")
    return redis_url.removesuffix("0") + "1"


def test_the_hosts_registry_and_broadcast_pass_us_by(supervisor: Supervisor) -> None:
    """A host that stops all of its actors stops its own; what it broadcasts reaches its own."""
    heard: list[Any] = []

    class HostActor(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> None:
            heard.append(message)

    HostActor.start()
    event = supervisor.create_event(_new_event())
    user = supervisor.create_user("Ann", "ann@example.org")
    supervisor.wait(supervisor.submit(BookTickets(event.id, user.id)), timeout=10)

    pykka.ActorRegistry.broadcast("everybody")
    pykka.ActorRegistry.stop_all()

    assert heard == ["everybody"]
    other = supervisor.create_user("Ben", "ben@example.org")
    answer = supervisor.wait(supervisor.submit(BookTickets(event.id, other.id)), timeout=10)
    assert answer.status is JobState.COMPLETED
    assert supervisor.health().components["actors"].values["restarts"] == 0


def test_hundreds_of_coroutines_book_and_wait(settings: Settings, supervisor: Supervisor) -> None:
    """Each gets its own answer; the event loop's own executor is left alone."""
    url = settings.database_url
    assert url is not None
    event = supervisor.create_event(_new_event(capacity=250))
    users = make_buyers(url, 300)

    async def book(user_id: int) -> JobState:
        receipt = await supervisor.submit_async(BookTickets(event.id, user_id))
        return (await supervisor.wait_async(receipt, timeout=20)).status

    async def everybody() -> tuple[list[JobState], bool]:
        answers = await asyncio.gather(*map(book, users))
        return answers, asyncio.get_running_loop()._default_executor is None  # type: ignore[attr-defined]

    answers, executor_unused = asyncio.run(everybody())

    assert (answers.count(JobState.COMPLETED), answers.count(JobState.FAILED)) == (250, 50)
    assert executor_unused


def test_the_event_loop_goes_on_while_a_job_waits(supervisor: Supervisor) -> None:
    """A wait that ends in nothing holds up nobody, and says so in asyncio's own words."""
    event = supervisor.create_event(_new_event())
    user = supervisor.create_user("Ann", "ann@example.org")
    supervisor.pause(event.id)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async def host() -> None:
        receipt = await supervisor.submit_async(BookTickets(event.id, user.id))
        turning = asyncio.create_task(turn())
        with pytest.raises(TimeoutError):
            await supervisor.wait_async(receipt, timeout=0.5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await supervisor.wait_async(receipt)
        turning.cancel()
        supervisor.resume(event.id)
        assert (await supervisor.wait_async(receipt, timeout=10)).status is JobState.COMPLETED

    asyncio.run(host())
    assert turns > 20


def test_coroutines_that_wait_are_told_of_the_stop(supervisor: Supervisor) -> None:
    """And later ones that there is nobody to ask."""
    event = supervisor.create_event(_new_event())
    user = supervisor.create_user("Ann", "ann@example.org")
    supervisor.pause(event.id)

    async def host() -> None:
        receipt = await supervisor.submit_async(BookTickets(event.id, user.id))
        waiting = asyncio.create_task(supervisor.wait_async(receipt))
        await asyncio.to_thread(wait_until, lambda: supervisor.notices._waiting, 5, "it waits")
        await asyncio.to_thread(supervisor.stop)
        with pytest.raises(UnavailableError):
            await waiting
        with pytest.raises(UnavailableError):
            await supervisor.submit_async(BookTickets(event.id, user.id))

    asyncio.run(host())
