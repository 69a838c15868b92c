"""Password hashing: expensive on purpose, and bounded for that reason."""

from __future__ import annotations

import threading
import time

import argon2
import pytest

from aurora_atlan.http.passwords import BusyError, Passwords
from aurora_atlan.persistence.password_hashes import hash_password


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(waiting_max=4)


def test_the_hash_is_argon2id_with_the_recommended_cost():
    assert hash_password("correct horse").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_password_is_verified_against_its_hash(passwords: Passwords):
    stored = passwords.hash("correct horse")

    assert passwords.verify(stored, "correct horse") is True
    assert passwords.verify(stored, "correct horsf") is False


def test_without_a_stored_hash_no_password_is_right(passwords: Passwords):
    assert passwords.verify(None, "correct horse") is False


def test_an_unreadable_stored_hash_is_no_error_of_the_client(passwords: Passwords):
    with pytest.raises(argon2.exceptions.InvalidHashError):
        passwords.verify("not a hash", "correct horse")


def test_verifying_against_nothing_takes_as_long_as_against_a_hash(passwords: Passwords):
    """Measured as processor time of this thread, which others on the machine do not change much."""
    stored = passwords.hash("correct horse")

    def fastest_of_five(hash_or_none: str | None) -> float:
        durations = []
        for _ in range(5):
            began = time.thread_time()
            passwords.verify(hash_or_none, "wrong horse")
            durations.append(time.thread_time() - began)
        return min(durations)

    known, unknown = fastest_of_five(stored), fastest_of_five(None)
    assert 0.5 < known / unknown < 2.0


def test_a_hash_of_other_costs_is_outdated(passwords: Passwords):
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")

    assert passwords.is_outdated(cheap)
    assert passwords.verify(cheap, "correct horse")
    assert not passwords.is_outdated(passwords.hash("correct horse"))


class BlockingHasher:
    """Takes as long as the test wants."""

    def __init__(self) -> None:
        self.running = threading.Semaphore(0)
        self.may_end = threading.Event()

    def hash(self, _password: str) -> str:
        self.running.release()
        assert self.may_end.wait(10)
        return "hash"


def test_more_than_the_places_are_refused_at_once():
    passwords = Passwords(waiting_max=2, running_max=1, patience_s=10)
    hasher = BlockingHasher()
    passwords._hasher = hasher  # type: ignore[assignment]
    threads = [threading.Thread(target=passwords.hash, args=("x",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert hasher.running.acquire(timeout=10)
    # The other one holds the second place as soon as it cannot be taken any more.
    while passwords._places.acquire(blocking=False):
        passwords._places.release()

    with pytest.raises(BusyError):
        passwords.hash("x")
    hasher.may_end.set()
    for thread in threads:
        thread.join(10)
    assert passwords.hash("x") == "hash"


def test_patience_ends():
    passwords = Passwords(waiting_max=2, running_max=1, patience_s=0.01)
    hasher = BlockingHasher()
    passwords._hasher = hasher  # type: ignore[assignment]
    thread = threading.Thread(target=passwords.hash, args=("x",))
    thread.start()
    assert hasher.running.acquire(timeout=10)

    with pytest.raises(BusyError):
        passwords.hash("x")
    hasher.may_end.set()
    thread.join(10)
