"""Going on with a login by its refresh token, logging out, and changing one's password."""

from __future__ import annotations

import hashlib
from typing import Any

import argon2
import pytest
from falcon.testing import Result

from aurora_atlan.http.passwords import Passwords
from aurora_atlan.persistence.errors import StoreUnavailableError
from http_fakes import FakeSessions, Service, make_service

REFRESH, LOGOUT, PASSWORD = "/api/auth/refresh", "/api/auth/logout", "/api/auth/password"
ADA = {"name": "Ada", "email": "ada@example.com", "password": "correct horse"}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


@pytest.fixture
def ada(service: Service) -> Any:
    """What Ada was answered when she registered."""
    return service.client.simulate_post("/api/auth/register", json=ADA).json


def refresh(service: Service, token: object) -> Result:
    return service.client.simulate_post(REFRESH, json={"refreshToken": token})


def bearer(answer: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer['token']}"}


def is_good(service: Service, answer: Any) -> bool:
    """Tell whether the access token of an answer is taken."""
    return service.client.simulate_get("/api/bookings/history", headers=bearer(answer)).status_code == 200


def change_password(service: Service, answer: Any, current: str, new: str) -> Result:
    body = {"currentPassword": current, "newPassword": new}
    return service.client.simulate_post(PASSWORD, json=body, headers=bearer(answer))


def log_in(service: Service, password: str) -> Result:
    return service.client.simulate_post("/api/auth/login", json={"email": ADA["email"], "password": password})


# Refreshing.


def test_a_refresh_token_is_exchanged_for_new_tokens(service: Service, ada: Any):
    result = refresh(service, ada["refreshToken"])

    assert result.status_code == 200
    assert result.headers["cache-control"] == "private, no-store"
    assert result.json.keys() == ada.keys()
    assert (result.json["user"], result.json["expiresIn"]) == (ada["user"], ada["expiresIn"])
    assert result.json["token"] != ada["token"]
    assert result.json["refreshToken"] != ada["refreshToken"]
    assert is_good(service, result.json)


def test_a_new_refresh_token_is_of_the_same_family_and_stored_as_a_hash_only(service: Service, ada: Any):
    token = refresh(service, ada["refreshToken"]).json["refreshToken"]
    [(_, first), (_, second)] = service.supervisor.users.refresh_tokens

    assert second.token_hash == hashlib.sha256(token.encode()).digest()
    assert second.family == first.family
    assert second.expires_at >= first.expires_at


def test_the_new_token_speaks_of_the_present_role(service: Service, ada: Any):
    service.supervisor.users.void(1, role="ADMIN")
    answer = refresh(service, ada["refreshToken"]).json

    assert answer["user"]["role"] == "ADMIN"
    assert service.client.simulate_get("/api/admin/audit", headers=bearer(answer)).status_code == 200


@pytest.mark.parametrize("spent", [False, True])
@pytest.mark.parametrize("token", ["", "nonsense", "\u00fc", "x" * 1024])
def test_a_refresh_token_that_is_not_good_is_401(service: Service, ada: Any, token: str, spent: bool):
    if spent:
        token = ada["refreshToken"]
        refresh(service, token)
    result = refresh(service, token)

    assert result.status_code == 401
    assert result.headers["www-authenticate"] == 'Bearer realm="aurora-atlan"'
    assert {**result.json, "requestId": ""} == {
        "type": "urn:problem-type:aurora-atlan:invalid-refresh-token",
        "title": "Invalid refresh token",
        "status": 401,
        "detail": "The refresh token is not valid any more. Log in again.",
        "instance": REFRESH,
        "requestId": "",
        "error": "The refresh token is not valid any more. Log in again.",
    }


@pytest.mark.parametrize(
    "body", [{}, {"refreshToken": None}, {"refreshToken": 5}, {"refreshToken": "x" * 1025}, {"token": "x"}, []]
)
def test_a_refresh_without_a_refresh_token_is_400(service: Service, body: Any):
    result = service.client.simulate_post(REFRESH, json=body)

    assert result.status_code == 400
    assert result.json["type"].endswith(":validation-failed")


def test_no_token_is_lost_to_a_database_that_is_away(service: Service, ada: Any, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(FakeSessions, "rotate", _away)
        assert refresh(service, ada["refreshToken"]).status_code == 503

    assert refresh(service, ada["refreshToken"]).status_code == 200


def _away(*_arguments: Any) -> None:
    raise StoreUnavailableError("connection lost")


# Logging out.


def test_logging_out_voids_all_tokens_of_the_user_at_once(service: Service, ada: Any):
    elsewhere = log_in(service, ADA["password"]).json
    assert is_good(service, ada)
    result = service.client.simulate_post(LOGOUT, headers=bearer(ada))

    assert result.status_code == 200
    assert result.json.keys() == {"message"}
    assert not is_good(service, ada)
    assert not is_good(service, elsewhere)
    assert refresh(service, ada["refreshToken"]).status_code == 401
    assert refresh(service, elsewhere["refreshToken"]).status_code == 401


def test_a_voided_token_is_401_and_says_so(service: Service, ada: Any):
    service.client.simulate_post(LOGOUT, headers=bearer(ada))
    result = service.client.simulate_post(LOGOUT, headers=bearer(ada))

    assert result.status_code == 401
    assert result.json["type"].endswith(":invalid-token")
    assert "revoked" in result.json["detail"]
    assert 'error="invalid_token"' in result.headers["www-authenticate"]


def test_who_logs_in_again_is_in(service: Service, ada: Any):
    service.client.simulate_post(LOGOUT, headers=bearer(ada))

    assert is_good(service, log_in(service, ADA["password"]).json)


def test_logging_out_concerns_nobody_else(service: Service, ada: Any):
    eve = service.client.simulate_post("/api/auth/register", json={**ADA, "email": "eve@example.com"}).json
    service.client.simulate_post(LOGOUT, headers=bearer(ada))

    assert is_good(service, eve)
    assert refresh(service, eve["refreshToken"]).status_code == 200


@pytest.mark.parametrize("role", ["USER", "ADMIN", "OPS"])
def test_a_user_whom_nobody_knows_may_log_out_too(service: Service, role: str):
    assert service.client.simulate_post(LOGOUT, headers=service.bearer(99, role)).status_code == 200


# Changing one's password.


def test_a_changed_password_is_the_one_to_log_in_with(service: Service, ada: Any):
    elsewhere = log_in(service, ADA["password"]).json
    result = change_password(service, ada, ADA["password"], "battery staple")

    assert result.status_code == 200
    assert result.json.keys() == ada.keys()
    assert result.json["user"] == ada["user"]
    assert log_in(service, ADA["password"]).status_code == 400
    assert log_in(service, "battery staple").status_code == 200
    assert is_good(service, result.json)
    assert refresh(service, result.json["refreshToken"]).status_code == 200
    for old in (ada, elsewhere):
        assert not is_good(service, old)
        assert refresh(service, old["refreshToken"]).status_code == 401


@pytest.mark.parametrize("current", ["wrong horse", "", "short", "x" * 1000, "Correct horse"])
def test_who_does_not_know_the_password_cannot_change_it(service: Service, ada: Any, current: str):
    result = change_password(service, ada, current, "battery staple")

    assert result.status_code == 400
    assert result.json["type"].endswith(":invalid-credentials")
    assert result.json["error"] == "The current password is wrong."
    assert is_good(service, ada)
    assert log_in(service, ADA["password"]).status_code == 200


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        ("short", "newPassword must be a password of 8 to 128 characters."),
        ("x" * 129, "newPassword must be a password of 8 to 128 characters."),
        # Eight characters that are seven in NFC.
        ("e\u0301aaaaaa", "newPassword is not accepted: A password has 8 to 128 characters."),
    ],
)
def test_a_new_password_obeys_the_rules_of_registering(service: Service, ada: Any, new: str, sentence: str):
    result = change_password(service, ada, ADA["password"], new)

    assert result.status_code == 400
    assert result.json["type"].endswith(":validation-failed")
    assert result.json["error"] == sentence
    assert result.json["errors"][0]["pointer"] == "/newPassword"
    assert log_in(service, ADA["password"]).status_code == 200


@pytest.mark.parametrize("body", [{}, {"currentPassword": "x"}, {"newPassword": "battery staple"}, {"role": "ADMIN"}])
def test_a_change_without_both_passwords_is_400(service: Service, ada: Any, body: Any):
    assert service.client.simulate_post(PASSWORD, json=body, headers=bearer(ada)).status_code == 400


def test_an_account_without_a_password_cannot_be_given_one(service: Service, ada: Any):
    users = service.supervisor.users
    users.rows[ADA["email"]] = type(users.rows[ADA["email"]])(users.rows[ADA["email"]].user, None)

    assert change_password(service, ada, ADA["password"], "battery staple").status_code == 400


def test_a_user_whom_nobody_knows_has_no_password(service: Service):
    result = service.client.simulate_post(
        PASSWORD, json={"currentPassword": "x", "newPassword": "battery staple"}, headers=service.bearer(99)
    )

    assert result.status_code == 400
    assert result.json["type"].endswith(":invalid-credentials")


def test_a_password_that_changes_while_one_logs_in_with_the_old_one_lets_nobody_in(
    service: Service, ada: Any, monkeypatch: pytest.MonkeyPatch
):
    verify = Passwords.verify

    def change_meanwhile(passwords: Passwords, stored: str | None, password: str) -> bool:
        known = verify(passwords, stored, password)
        service.supervisor.users.void(1, argon2.PasswordHasher(1, 8, 1).hash("battery staple"))
        return known

    with monkeypatch.context() as patch:
        patch.setattr(Passwords, "verify", change_meanwhile)
        assert log_in(service, ADA["password"]).status_code == 400
        assert change_password(service, ada, "battery staple", "another password").status_code == 400
    assert len(service.supervisor.users.refresh_tokens) == 1


def test_a_logout_while_one_logs_in_elsewhere_leaves_that_login_alone(
    service: Service, ada: Any, monkeypatch: pytest.MonkeyPatch
):
    verify = Passwords.verify

    def log_out_meanwhile(passwords: Passwords, stored: str | None, password: str) -> bool:
        service.client.simulate_post(LOGOUT, headers=bearer(ada))
        return verify(passwords, stored, password)

    with monkeypatch.context() as patch:
        patch.setattr(Passwords, "verify", log_out_meanwhile)
        answer = log_in(service, ADA["password"])

    assert answer.status_code == 200
    assert is_good(service, answer.json)
