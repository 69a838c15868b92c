"""Access tokens: only what this service signed, for what it is meant, while it lasts."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.http import tokens
from aurora_atlan.http.tokens import InvalidTokenError, Principal, SigningKey, TokenIssuer, TokenVerifier, signing_key

SECRET = "a secret of at least thirty-two bytes"
SETTINGS = Settings(jwt_secret=SECRET)
KEY = signing_key(SETTINGS)


@pytest.fixture(params=["new", "knows the header"])
def verifier(request: pytest.FixtureRequest) -> TokenVerifier:
    """Tokens with a header that was verified before take a shorter way."""
    verifier = TokenVerifier(KEY)
    if request.param != "new":
        verifier.verify(TokenIssuer(SETTINGS).issue(99, "USER", 1))
    return verifier


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    valid = {
        "iss": "aurora-atlan",
        "aud": "aurora-atlan",
        "sub": "7",
        "jti": "some id",
        "iat": now,
        "exp": now + 60,
        "role": "USER",
        "ver": 1,
    }
    return {name: value for name, value in {**valid, **changes}.items() if value is not None}


def sign(payload: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(payload, secret, algorithm=algorithm, headers={"typ": "at+jwt", "kid": KEY.key_id, **headers})


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_an_issued_token_is_verified(verifier: TokenVerifier):
    token = TokenIssuer(SETTINGS).issue(7, "ADMIN", 3)

    assert verifier.verify(token) == Principal(user_id=7, role="ADMIN", token_version=3)
    assert verifier.verify(sign(claims())) == Principal(7, "USER", 1)


def test_an_issued_token_carries_all_claims_and_its_type():
    issuer = TokenIssuer(SETTINGS)
    token = issuer.issue(7, "USER", 1)

    payload = jwt.decode(token, SECRET, algorithms=["HS256"], audience="aurora-atlan")
    assert payload.keys() == {"iss", "aud", "sub", "jti", "iat", "exp", "role", "ver"}
    assert payload["exp"] - payload["iat"] == SETTINGS.access_token_lifetime_s
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt", "kid": KEY.key_id}
    assert issuer.issue(7, "USER", 1) != token


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "jti", "iat", "exp", "role", "ver"])
def test_a_token_without_a_claim_is_refused(verifier: TokenVerifier, claim: str):
    with pytest.raises(InvalidTokenError):
        verifier.verify(sign(claims(**{claim: None})))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody else"},
        {"aud": "another service"},
        {"aud": ["aurora-atlan", "another service"]},
        {"sub": "0"},
        {"sub": "-7"},
        {"sub": "07"},
        {"sub": "7 "},
        {"sub": "\u0667"},
        {"sub": str(2**53)},
        {"sub": "9" * 1000},
        {"sub": 7},
        {"role": "ROOT"},
        {"role": ["ADMIN"]},
        {"ver": "1"},
        {"ver": True},
        {"jti": 5},
        {"exp": str(int(time.time()) + 60)},
        {"exp": "never"},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(verifier: TokenVerifier, changes: dict[str, Any]):
    payload = claims(**changes)
    # PyJWT itself refuses to sign some of these.
    token = jwt.api_jws.encode(
        json.dumps(payload).encode(), SECRET, algorithm="HS256", headers={"typ": "at+jwt", "kid": KEY.key_id}
    )
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def test_an_expired_token_is_refused_as_expired(verifier: TokenVerifier):
    now = int(time.time())
    with pytest.raises(InvalidTokenError, match="expired"):
        verifier.verify(sign(claims(iat=now - 60, exp=now)))


def test_clocks_may_differ_a_little(verifier: TokenVerifier):
    assert verifier.verify(sign(claims(iat=int(time.time()) + 20)))


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"typ": "rt+jwt"},
        {"kid": "another"},
        {"kid": None},
        {"crit": ["x"]},
        {"jku": "https://x.example"},
    ],
)
def test_a_token_with_a_wrong_header_is_refused(verifier: TokenVerifier, headers: dict[str, Any]):
    header = {"alg": "HS256", "typ": "at+jwt", "kid": KEY.key_id, **headers}
    token = jwt.api_jws.encode(
        json.dumps(claims()).encode(), SECRET, headers={name: value for name, value in header.items() if value}
    )
    if headers.get("typ", "") is None:
        token = resign({name: value for name, value in header.items() if value})
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def resign(header: dict[str, Any]) -> str:
    unsigned = f"{segment(header)}.{segment(claims())}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        unsigned.encode(), SECRET.encode()
    )
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_a_hand_signed_token_is_accepted_so_that_the_refusals_mean_something(verifier: TokenVerifier):
    assert verifier.verify(resign({"alg": "HS256", "typ": "at+jwt", "kid": KEY.key_id}))


def test_a_token_signed_with_another_key_is_refused(verifier: TokenVerifier):
    with pytest.raises(InvalidTokenError):
        verifier.verify(sign(claims(), secret="another secret of thirty-two bytes!!"))


def test_a_key_is_used_with_one_algorithm_only():
    long_secret = SECRET * 2
    key = signing_key(Settings(jwt_secret=long_secret))
    verifier = TokenVerifier(key)

    assert verifier.verify(sign(claims(), secret=long_secret, kid=key.key_id))
    with pytest.raises(InvalidTokenError):
        verifier.verify(sign(claims(), secret=long_secret, algorithm="HS512", kid=key.key_id))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_an_unsigned_token_is_refused(verifier: TokenVerifier, alg: str, signature: str):
    header = segment({"alg": alg, "typ": "at+jwt", "kid": KEY.key_id})
    with pytest.raises(InvalidTokenError):
        verifier.verify(f"{header}.{segment(claims())}.{signature}")


def test_a_token_with_a_changed_payload_is_refused(verifier: TokenVerifier):
    header, _, signature = sign(claims()).split(".")
    with pytest.raises(InvalidTokenError):
        verifier.verify(f"{header}.{segment(claims(role='ADMIN'))}.{signature}")


def test_a_header_that_was_verified_once_vouches_for_nothing_else(verifier: TokenVerifier):
    header, payload, signature = sign(claims()).split(".")
    verifier.verify(f"{header}.{payload}.{signature}")

    for forged in (
        f"{header}.{segment(claims(sub='8'))}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}.AAAA",
    ):
        with pytest.raises(InvalidTokenError):
            verifier.verify(forged)
    with pytest.raises(InvalidTokenError, match="expired"):
        verifier.verify(sign(claims(exp=int(time.time()) - 1)))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "ü.ü.ü", "\ud800", "x" * 100_000, f"{segment([])}.e30.AAAA"]
)
def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str):
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def test_a_huge_token_is_not_even_parsed(verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch):
    token = sign(claims(padding="x" * 3000))
    monkeypatch.setattr(tokens.jwt, "get_unverified_header", lambda _token: pytest.fail("it was parsed"))

    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


@pytest.mark.parametrize("payload", [b"no JSON", b"[]", b"null", b"1e999", b"\xff", b'{"exp":1', b'{"sub":{}}'])
def test_what_is_signed_and_no_claims_is_refused(verifier: TokenVerifier, payload: bytes):
    """Somebody else may hold the secret, and sign anything under our header."""
    encoded_header = TokenIssuer(SETTINGS).issue(7, "USER", 1).partition(".")[0]
    signed = f"{encoded_header}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    mac = hmac.digest(KEY.secret, signed.encode(), "sha256")
    signature = base64.urlsafe_b64encode(mac).decode().rstrip("=")

    with pytest.raises(InvalidTokenError):
        verifier.verify(f"{signed}.{signature}")


@pytest.mark.parametrize("spell", [lambda s: s[:-1] + chr(ord(s[-1]) + 1), lambda s: s + "\n"])
def test_a_signature_has_one_spelling(verifier: TokenVerifier, spell: Callable[[str], str]):
    """Base64 that decodes to the same bytes is another text, as RFC 7515 has it."""
    token = TokenIssuer(SETTINGS).issue(7, "USER", 1)

    with pytest.raises(InvalidTokenError):
        verifier.verify(spell(token))


def test_an_issued_token_takes_the_shorter_way(monkeypatch: pytest.MonkeyPatch):
    """Once one token of the key was verified, PyJWT is not asked about the next."""
    verifier, issuer = TokenVerifier(KEY), TokenIssuer(SETTINGS)
    verifier.verify(issuer.issue(7, "USER", 1))
    monkeypatch.setattr(verifier._jwt, "decode", lambda *_, **__: pytest.fail("PyJWT was asked"))

    assert verifier.verify(issuer.issue(8, "ADMIN", 2)) == Principal(8, "ADMIN", 2)


def test_several_keys_are_valid_while_they_rotate():
    old = SigningKey("old", b"an old secret of thirty-two bytes or so")
    token = jwt.encode(claims(), old.secret, headers={"typ": "at+jwt", "kid": "old"})

    assert TokenVerifier(KEY, old).verify(token)
    with pytest.raises(InvalidTokenError):
        TokenVerifier(KEY).verify(token)


def test_a_verified_token_is_remembered(verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch):
    token = sign(claims())
    principal = verifier.verify(token)
    monkeypatch.setattr(verifier._jwt, "decode", lambda *_arguments, **_more: pytest.fail("it was verified again"))

    assert verifier.verify(token) == principal


def test_a_remembered_token_expires_all_the_same(verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch):
    token = sign(claims())
    verifier.verify(token)
    later = time.time() + 61
    monkeypatch.setattr(tokens.time, "time", lambda: later)

    with pytest.raises(InvalidTokenError, match="expired"):
        verifier.verify(token)


def test_the_memory_of_tokens_is_bounded():
    """Those that were seen first for the longest time are forgotten, half of them at a time."""
    verifier = TokenVerifier(KEY, cached_max=4)
    signed = [sign(claims(jti=str(number))) for number in range(11)]
    for seen, token in enumerate(signed, start=1):
        verifier.verify(token)

        remembered = [*verifier._older, *verifier._newer]
        assert remembered == signed[:seen][-len(remembered) :]
        assert min(seen, 3) <= len(remembered) <= 4


def test_a_refused_token_is_not_remembered(verifier: TokenVerifier):
    with pytest.raises(InvalidTokenError):
        verifier.verify(refused := sign(claims(role="ROOT")))

    assert refused not in (*verifier._newer, *verifier._older)


@pytest.mark.parametrize("remembered", [False, True])
def test_a_voided_token_is_refused_whether_it_was_seen_before_or_not(remembered: bool):
    least: dict[int, int] = {}
    verifier, issuer = TokenVerifier(KEY, least_versions=least), TokenIssuer(SETTINGS)
    old, others = issuer.issue(7, "USER", 1), issuer.issue(8, "USER", 1)
    if remembered:
        assert verifier.verify(old)
    least[7] = 2

    for _ in range(2):
        with pytest.raises(InvalidTokenError, match="revoked"):
            verifier.verify(old)
    assert verifier.verify(issuer.issue(7, "USER", 2))
    assert verifier.verify(others)


def test_a_token_newer_than_what_is_known_is_good():
    """Another process issued it after a change that this one has not heard of yet."""
    verifier = TokenVerifier(KEY, least_versions={7: 2})

    assert verifier.verify(TokenIssuer(SETTINGS).issue(7, "USER", 3)).token_version == 3


@pytest.mark.parametrize("secret", [None, "too short"])
def test_a_missing_or_short_secret_is_a_configuration_error(secret: str | None):
    class Lax:
        jwt_secret = secret
        access_token_lifetime_s = 900

    with pytest.raises(ConfigurationError, match="JWT_SECRET"):
        TokenIssuer(Lax())  # type: ignore[arg-type]
