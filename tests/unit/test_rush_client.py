"""The rush's client against a small service made up here, which may misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from aurora_atlan.commands.rush import command
from aurora_atlan.commands.rush.errors import RushError, ServiceGoneError
from aurora_atlan.commands.rush.history import Attempt, Buyer
from aurora_atlan.commands.rush.preparation import register_buyers
from aurora_atlan.commands.rush.sale import Sale
from aurora_atlan.commands.rush.service import Service
from harness.service import free_port
from made_up_service import MadeUpService, Misbehaviour, serving


def hold_sale(
    service: MadeUpService, *, buyers: int = 5, patience_s: float = 5.0, again: bool = True
) -> tuple[Sale, list[Attempt]]:
    """Let a few buyers book; return the sale and what happened to each."""

    async def run() -> Sale:
        async with (
            serving(service, free_port()) as url,
            Service.connected(url, connections=3, patience_s=patience_s) as client,
        ):
            sale = sale_of(client, buyers, patience_s)
            await sale.run()
            if again:
                await sale.ask_again()
            return sale

    sale = asyncio.run(run())
    return sale, sale.attempts


def sale_of(client: Service, buyers: int, patience_s: float) -> Sale:
    wanted = [(Buyer(user_id, str(user_id)), 7) for user_id in range(1, buyers + 1)]
    return Sale(client, wanted, workers=3, patience_s=patience_s)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody signals."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def once(path: str, answer: Callable[[MadeUpService, web.Request], web.StreamResponse | None]) -> Misbehaviour:
    """Misbehave at the first request for a path."""
    done = False

    async def misbehave(service: MadeUpService, request: web.Request) -> web.StreamResponse | None:
        nonlocal done
        if done or path not in request.path:
            return None
        done = True
        return answer(service, request)

    return misbehave


def test_every_buyer_is_followed_to_an_answer_and_asked_again() -> None:
    service = MadeUpService()

    sale, attempts = hold_sale(service)

    assert [attempt.complaints for attempt in attempts] == [[]] * 5
    assert (sale.tally.confirmed_count, sale.tally.sold_out_count, sale.tally.other_count) == (2, 3, 0)
    assert all(len(attempt.answers) == 2 and len(set(attempt.answers)) == 1 for attempt in attempts)
    # One of ten buyers repeats the booking.
    assert sorted(len(attempt.receipts) for attempt in attempts) == [1, 1, 1, 1, 2]
    assert sale.tally.decision_latencies_s == [0.25] * 5
    assert all(attempt.sent_s < attempt.accepted_s < attempt.answered_s for attempt in attempts)


def test_a_booking_whose_reply_was_lost_is_repeated_with_the_same_key() -> None:
    def lose(service: MadeUpService, request: web.Request) -> None:
        service.accept(request)
        assert request.transport is not None
        request.transport.abort()

    service = MadeUpService(misbehave=once("/book", lose))

    _, attempts = hold_sale(service, again=False)

    assert service.seen["POST /api/bookings/7"] == 6
    assert len(service.jobs) == 5
    assert [attempt.complaints for attempt in attempts] == [[]] * 5


def test_a_503_is_repeated_with_the_same_key_and_its_job_id_is_remembered() -> None:
    def refuse(service: MadeUpService, request: web.Request) -> web.Response:
        job_id = next(iter(service.jobs.values())).job_id if service.jobs else "possible"
        return web.json_response({"jobId": job_id}, status=503, headers={"Retry-After": "0"})

    _, attempts = hold_sale(MadeUpService(misbehave=once("/book", refuse)), again=False)

    assert sum(len(attempt.possible_job_ids) for attempt in attempts) == 1
    assert all(attempt.answer is not None for attempt in attempts)


def test_a_service_that_goes_away_is_waited_for() -> None:
    service = MadeUpService(polls_before_answer=3)

    async def run() -> tuple[Sale, Service]:
        port = free_port()
        async with Service.connected(f"http://127.0.0.1:{port}", connections=3, patience_s=20.0) as client:
            sale = sale_of(client, 5, 20.0)
            async with serving(service, port):
                selling = asyncio.create_task(sale.run())
                await until(lambda: sale.tally.accepted_count > 0)
            await until(lambda: client.away_since_s is not None)
            async with serving(service, port):
                await selling
            return sale, client

    sale, client = asyncio.run(run())

    assert client.outages == 1
    assert sale.tally.confirmed_count + sale.tally.sold_out_count == 5
    assert len(service.jobs) == 5


def test_a_service_that_stays_away_ends_the_sale() -> None:
    async def run() -> Sale:
        port = free_port()
        async with Service.connected(f"http://127.0.0.1:{port}", connections=3, patience_s=0.5) as client:
            sale = sale_of(client, 5, 0.5)
            with pytest.raises(ServiceGoneError, match="has not answered for"):
                await sale.run()
            return sale

    assert asyncio.run(run()).tally.open


def test_a_service_that_asks_for_patience_for_ever_ends_the_sale() -> None:
    async def busy(_service: MadeUpService, _request: web.Request) -> web.Response:
        return web.json_response({}, status=503, headers={"Retry-After": "0"})

    with pytest.raises(ServiceGoneError, match="POST /api/bookings/7/book was answered 503 for"):
        hold_sale(MadeUpService(misbehave=busy), patience_s=0.3)


def test_jobs_that_are_never_answered_end_the_sale_after_the_patience() -> None:
    sale, attempts = hold_sale(MadeUpService(polls_before_answer=10**9), patience_s=0.4)

    assert sale.tally.accepted_count == 5
    assert sale.tally.open
    assert not any(attempt.answers for attempt in attempts)


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/book", 500, "was not accepted: 500 broken"),
        ("/status", 404, "was told 404 broken"),
    ],
)
def test_an_answer_that_nothing_explains_is_a_complaint_of_that_buyer(path: str, status: int, expected: str) -> None:
    def answer(_service: MadeUpService, _request: web.Request) -> web.Response:
        return web.json_response({"detail": "broken"}, status=status)

    sale, attempts = hold_sale(MadeUpService(misbehave=once(path, answer)))

    [complaint] = [complaint for attempt in attempts for complaint in attempt.complaints]
    assert complaint.endswith(expected)
    assert sale.tally.other_count == 1


def test_an_answer_taken_back_is_a_complaint() -> None:
    async def take_back(service: MadeUpService, request: web.Request) -> web.Response | None:
        if "/status" not in request.path or sum(job.polls for job in service.jobs.values()) < 10:
            return None
        return web.json_response({"status": "queued", "queuePosition": 1})

    _, attempts = hold_sale(MadeUpService(misbehave=take_back))

    assert all("and later queued" in attempt.complaints[0] for attempt in attempts)


def test_buyers_are_registered_over_http() -> None:
    told: list[int] = []

    async def run() -> list[Buyer]:
        async with (
            serving(MadeUpService(), free_port()) as url,
            Service.connected(url, connections=3, patience_s=5.0) as client,
        ):
            return await register_buyers(client, 10, told.append)

    buyers = asyncio.run(run())

    assert len({buyer.user_id for buyer in buyers}) == 10
    assert sum(told) == 10


def test_a_refused_registration_says_why() -> None:
    async def refuse(_service: MadeUpService, request: web.Request) -> web.Response | None:
        return web.json_response({"detail": "No more buyers."}, status=400) if "auth" in request.path else None

    async def run() -> None:
        async with (
            serving(MadeUpService(misbehave=refuse), free_port()) as url,
            Service.connected(url, connections=3, patience_s=5.0) as client,
        ):
            await register_buyers(client, 10, lambda _: None)

    with pytest.raises(RushError, match="refused to register a buyer: 400 No more buyers"):
        asyncio.run(run())


@contextmanager
def serving_beside(service: MadeUpService) -> Iterator[str]:
    """Serve in a thread of its own, for a command that has an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = serving(service, free_port())
    try:
        yield asyncio.run_coroutine_threadsafe(stack.__aenter__(), loop).result(5)
        asyncio.run_coroutine_threadsafe(stack.__aexit__(None, None, None), loop).result(5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.fixture
def admin(tmp_path: Path) -> list[str]:
    """The options that name an administrator."""
    file = tmp_path / "password"
    file.write_text("a password\n", encoding="utf-8")
    return ["--admin-email", "admin@example.org", "--admin-password-file", str(file)]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the environment lead to no database."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("AURORA_DATA_DIR", str(tmp_path / "nowhere"))


def test_the_command_exits_with_0_when_all_promises_are_kept(admin: list[str], elsewhere: None) -> None:
    with serving_beside(MadeUpService()) as url:
        result = CliRunner().invoke(command, ["--url", url, "--buyers", "5", "--seats", "2", *admin])

    assert result.exit_code == 0, result.output
    assert "seats sold                2 of 2\n" in result.stdout
    assert "OK: every promise was kept." in result.stdout
    assert "not made, the database is not at hand" in result.stdout


def test_the_command_exits_with_1_when_a_promise_is_broken(admin: list[str], elsewhere: None) -> None:
    with serving_beside(MadeUpService(sells=3)) as url:
        result = CliRunner().invoke(command, ["--url", url, "--buyers", "5", "--seats", "2", *admin])

    assert result.exit_code == 1, result.output
    assert "oversold                  1\n" in result.stdout
    assert "BROKEN: 1 violation.\n  - event 7 is oversold: 3 tickets were confirmed of 2\n" in result.stdout


def test_the_command_says_what_it_needs_to_create_the_event(elsewhere: None) -> None:
    with serving_beside(MadeUpService()) as url:
        result = CliRunner().invoke(command, ["--url", url])

    assert result.exit_code == 2
    assert "error: creating the event needs an administrator: give --admin-email" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--url", "nonsense"], "'nonsense' is no URL such as http://127.0.0.1:3000"),
        (["--url", "http://127.0.0.1:1"], "error: nothing answers at http://127.0.0.1:1: connection refused"),
        (["--events", "3", "--seats", "2"], "3 events need at least as many buyers and seats"),
        (["--admin-email", "a@b.example"], "--admin-email and --admin-password-file belong together"),
        (["--buyers", "0"], "0 is not in the range"),
    ],
)
def test_the_command_exits_with_2_when_it_is_asked_wrongly(
    arguments: list[str], expected: str, elsewhere: None
) -> None:
    result = CliRunner().invoke(command, arguments)

    assert result.exit_code == 2
    assert expected in result.stderr
