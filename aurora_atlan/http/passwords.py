"""Hashing and verifying passwords for requests, on a bounded number of threads at a time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import argon2

from aurora_atlan.persistence.password_hashes import hasher

_RUNNING_MAX = 4
_PATIENCE_S = 2.0


class BusyError(Exception):
    """Too many passwords are being hashed already."""


class Passwords:
    """Hashes and verifies on request threads, a few at a time: each costs memory and a core.

    ``waiting_max`` requests may be here at once, running or waiting up to 2 s for their turn;
    for all beyond that every method raises :class:`BusyError`.
    """

    def __init__(self, waiting_max: int, running_max: int = _RUNNING_MAX, patience_s: float = _PATIENCE_S) -> None:
        self._places = threading.BoundedSemaphore(waiting_max)
        self._turns = threading.BoundedSemaphore(running_max)
        self._patience_s = patience_s
        self._hasher = hasher()
        self._nobodys = self._hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """Return the hash of a normalised password."""
        with self._turn():
            return self._hasher.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether a normalised password is the one of a stored hash.

        Without a stored hash it takes the same time and is False: nobody learns which accounts exist.
        """
        with self._turn():
            try:
                self._hasher.verify(stored or self._nobodys, password)
            except argon2.exceptions.VerificationError:
                return False
        return stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Tell whether a stored hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise BusyError
        try:
            if not self._turns.acquire(timeout=self._patience_s):
                raise BusyError
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()
