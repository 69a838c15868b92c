"""Registering and logging in."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import argon2
import jwt
import pytest

from aurora_atlan.http.passwords import BusyError, Passwords
from http_fakes import NOW, SECRET, Service, make_service

REGISTER, LOGIN = "/api/auth/register", "/api/auth/login"
ADA = {"name": "Ada", "email": "Ada@Example.com", "password": "correct horse"}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return make_service(monkeypatch)


def register(service: Service, **changes: str) -> Any:
    return service.client.simulate_post(REGISTER, json={**ADA, **changes})


def login(service: Service, email: str = "ada@example.com", password: str = ADA["password"]) -> Any:
    return service.client.simulate_post(LOGIN, json={"email": email, "password": password})


def test_registering_makes_a_user_and_logs_in(service: Service):
    result = register(service)

    assert result.status_code == 200
    assert result.headers["cache-control"] == "private, no-store"
    assert result.json.keys() == {"user", "token", "refreshToken", "expiresIn"}
    assert result.json["user"] == {
        "id": 1,
        "name": "Ada",
        "email": "ada@example.com",
        "role": "USER",
        "createdAt": "2026-11-22T19:30:15.250000Z",
    }
    assert result.json["expiresIn"] == service.supervisor.settings.access_token_lifetime_s
    payload = jwt.decode(result.json["token"], SECRET, algorithms=["HS256"], audience="aurora-atlan")
    assert (payload["sub"], payload["role"]) == ("1", "USER")


def test_the_password_is_stored_as_a_hash_only(service: Service):
    result = register(service)
    stored = service.supervisor.users.rows["ada@example.com"].password_hash

    assert stored.startswith("$argon2id$")
    assert "correct horse" not in stored
    assert "argon2" not in result.text


def test_the_refresh_token_is_stored_as_a_hash_only(service: Service):
    token = register(service).json["refreshToken"]
    [(user_id, record)] = service.supervisor.users.refresh_tokens

    assert user_id == 1
    assert len(token) >= 43
    assert record.token_hash == hashlib.sha256(token.encode()).digest()
    assert record.expires_at > NOW


def test_every_login_begins_a_family_of_its_own(service: Service):
    register(service)
    login(service)
    families = {record.family for _, record in service.supervisor.users.refresh_tokens}

    assert len(families) == 2


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM"])
def test_an_address_in_use_is_400(service: Service, email: str):
    register(service)
    result = register(service, email=email)

    assert result.status_code == 400
    assert result.json["type"].endswith(":email-in-use")
    assert len(service.supervisor.users.rows) == 1


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.COM"])
def test_logging_in_answers_like_registering(service: Service, email: str):
    registered = register(service).json
    result = login(service, email)

    assert result.status_code == 200
    assert result.json["user"] == registered["user"]
    assert result.json.keys() == registered.keys()
    assert result.json["token"] != registered["token"]
    assert result.json["refreshToken"] != registered["refreshToken"]


def test_the_role_in_the_token_is_the_stored_one(service: Service):
    register(service)
    users = service.supervisor.users
    credentials = users.rows["ada@example.com"]
    users.rows["ada@example.com"] = replace(credentials, user=replace(credentials.user, role="ADMIN"))
    token = login(service).json["token"]

    assert jwt.decode(token, SECRET, algorithms=["HS256"], audience="aurora-atlan")["role"] == "ADMIN"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "wrong horse"),
        ("nobody@example.com", "correct horse"),
        ("not an address", "correct horse"),
        ("ada@example.com", "short"),
        ("ada@example.com", ""),
        ("", ""),
        ("ada@example.com", "x" * 1000),
        ("ghost@example.com", "correct horse"),
    ],
)
def test_every_wrong_login_gets_the_same_answer(service: Service, email: str, password: str):
    register(service)
    users = service.supervisor.users
    # An account without a password.
    ghost = replace(users.rows["ada@example.com"], password_hash=None)
    users.rows["ghost@example.com"] = ghost
    result = login(service, email, password)

    assert result.status_code == 400
    assert {**result.json, "requestId": ""} == {
        "type": "urn:problem-type:aurora-atlan:invalid-credentials",
        "title": "Invalid credentials",
        "status": 400,
        "detail": "The e-mail address or the password is wrong.",
        "instance": LOGIN,
        "requestId": "",
        "error": "The e-mail address or the password is wrong.",
    }
    assert len(users.refresh_tokens) == 1


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com", "not an address", "ghost@example.com"])
def test_every_wrong_login_verifies_one_hash(service: Service, monkeypatch: pytest.MonkeyPatch, email: str):
    register(service)
    users = service.supervisor.users
    users.rows["ghost@example.com"] = replace(users.rows["ada@example.com"], password_hash=None)
    verified = []
    verify = argon2.PasswordHasher.verify

    def counting(hasher: argon2.PasswordHasher, *arguments: Any) -> bool:
        verified.append(arguments)
        return verify(hasher, *arguments)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counting)
    login(service, email, "wrong horse")

    assert len(verified) == 1


def test_a_hash_of_yesterdays_cost_is_replaced_at_login(service: Service):
    register(service)
    users = service.supervisor.users
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    users.rows["ada@example.com"] = replace(users.rows["ada@example.com"], password_hash=cheap)

    assert login(service).status_code == 200
    assert users.rows["ada@example.com"].password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert login(service).status_code == 200


def test_too_many_at_once_are_503(service: Service, monkeypatch: pytest.MonkeyPatch):
    def busy(_passwords: Passwords, *_arguments: Any) -> None:
        raise BusyError

    monkeypatch.setattr(Passwords, "verify", busy)
    result = login(service)

    assert result.status_code == 503
    assert result.headers["retry-after"] == "1"
    assert result.json["type"].endswith(":busy")
