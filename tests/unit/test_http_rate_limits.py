"""Rate limits over HTTP: who is counted together, and what the 429 says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from falcon.testing import Result

from http_fakes import Service, make_service

Answer = Callable[[Service], Result]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The API with limits of two or three a minute."""
    return make_service(
        monkeypatch,
        rate_limits="on",
        rate_limit_booking_user="2/minute",
        rate_limit_booking_ip="3/minute",
        rate_limit_login_account="2/minute",
        rate_limit_login_ip="3/minute",
        rate_limit_register_ip="1/minute",
        rate_limit_read_ip="2/minute",
    )


def book(service: Service, *, user_id: int = 7, address: str = "192.0.2.1") -> Result:
    """Book event 1."""
    headers = service.bearer(user_id)
    return service.client.simulate_post("/api/bookings/1/book", headers=headers, remote_addr=address)


def log_in(service: Service, email: str, address: str = "192.0.2.1") -> Result:
    """Try to log in."""
    body = {"email": email, "password": "wrong password"}
    return service.client.simulate_post("/api/auth/login", json=body, remote_addr=address)


def register(service: Service, email: str) -> Result:
    """Make an account."""
    body = {"name": "Ada", "email": email, "password": "correct horse"}
    return service.client.simulate_post("/api/auth/register", json=body, remote_addr="192.0.2.1")


def look(service: Service, path: str) -> Result:
    """Look at events."""
    return service.client.simulate_get(path, remote_addr="192.0.2.1")


def test_one_user_books_no_more_often_than_allowed(service: Service) -> None:
    """The 429 says when to come again; another user is not concerned."""
    service.event()

    assert [book(service).status_code for _ in range(3)] == [202, 202, 429]
    refused = book(service, address="192.0.2.2")

    wait_s = int(refused.headers["Retry-After"])
    assert 1 <= wait_s <= 60
    assert refused.json["type"].endswith(":too-many-requests")
    assert refused.headers["RateLimit-Policy"] == '"booking-user";q=2;w=60'
    assert refused.headers["RateLimit"] == f'"booking-user";r=0;t={wait_s}'
    assert book(service, user_id=8, address="192.0.2.2").status_code == 202
    assert len(service.supervisor.attempts) == 3


def test_one_address_books_no_more_often_than_allowed(service: Service) -> None:
    """Whoever books from there."""
    service.event()

    statuses = [book(service, user_id=number).status_code for number in range(1, 5)]

    assert statuses == [202, 202, 202, 429]


def test_a_network_of_ipv6_is_one_address(service: Service) -> None:
    """Who has one IPv6 address has 2^64 of them; an IPv4 address written as IPv6 is itself."""
    service.event()
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2::3", "2001:db8:1:2::4", "2001:db8:1:3::1"]

    statuses = [
        book(service, user_id=number, address=address).status_code for number, address in enumerate(addresses, 1)
    ]

    assert statuses == [202, 202, 202, 429, 202]
    mapped = [book(service, user_id=number, address=f"::ffff:192.0.2.{number}").status_code for number in range(20, 25)]
    assert mapped == [202] * 5


def test_an_account_is_tried_no_more_often_than_allowed_from_wherever(service: Service) -> None:
    """The account need not exist: nobody learns that it does not."""
    tries = [
        log_in(service, email, f"192.0.2.{number}") for number, email in enumerate(["a@x.org", "A@x.org", "a@x.org"])
    ]

    assert [answer.status_code for answer in tries] == [400, 400, 429]
    assert log_in(service, "b@x.org", "192.0.2.9").status_code == 400


def test_an_address_tries_no_more_accounts_than_allowed(service: Service) -> None:
    """Guessing one password for many accounts is guessing, too."""
    assert [log_in(service, f"u{number}@x.org").status_code for number in range(4)] == [400, 400, 400, 429]


def test_refreshing_counts_with_logging_in_from_an_address(service: Service) -> None:
    """Guessing refresh tokens is no faster than guessing passwords."""
    body = {"refreshToken": "a guess"}

    def refresh() -> int:
        return service.client.simulate_post("/api/auth/refresh", json=body, remote_addr="192.0.2.1").status_code

    assert [refresh(), log_in(service, "a@x.org").status_code, refresh(), refresh()] == [401, 400, 401, 429]


def test_a_found_token_does_not_help_to_guess_the_password(service: Service) -> None:
    """A change of password counts with logging in, by account and by address."""
    account = register(service, "a@x.org").json
    body = {"currentPassword": "wrong password", "newPassword": "battery staple"}

    def change(address: str) -> int:
        headers = {"Authorization": f"Bearer {account['token']}"}
        path = "/api/auth/password"
        return service.client.simulate_post(path, json=body, headers=headers, remote_addr=address).status_code

    assert [change("192.0.2.1"), log_in(service, "a@x.org", "192.0.2.2").status_code] == [400, 400]
    assert change("192.0.2.3") == 429
    assert [log_in(service, f"{number}@x.org", "192.0.2.4").status_code for number in range(3)] == [400] * 3
    assert change("192.0.2.4") == 429


def test_accounts_are_made_no_faster_than_allowed(service: Service) -> None:
    """From one address."""
    assert register(service, "a@x.org").status_code == 200
    assert register(service, "b@x.org").status_code == 429
    assert len(service.supervisor.users.rows) == 1


def test_looks_at_the_list_and_at_events_count_together(service: Service) -> None:
    """From one address."""
    service.event()

    statuses = [
        look(service, path).status_code for path in ("/api/events/view", "/api/events/1/view", "/api/events/view")
    ]

    assert statuses == [200, 200, 429]


def test_switched_off_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """AURORA_RATE_LIMITS=off is for load tests."""
    service = make_service(monkeypatch, rate_limits="off", rate_limit_booking_user="1/minute")
    service.event()

    assert {book(service).status_code for _ in range(5)} == {202}


@pytest.mark.parametrize("name", ["rate_limit_booking_user", "rate_limit_booking_ip"])
def test_each_limit_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The other one still holds."""
    limits: dict[str, Any] = {"rate_limit_booking_user": "2/minute", "rate_limit_booking_ip": "2/minute", name: None}
    service = make_service(monkeypatch, rate_limits="on", **limits)
    service.event()

    assert [book(service).status_code for _ in range(3)] == [202, 202, 429]
