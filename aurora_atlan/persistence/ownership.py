"""The lock by which other processes see that this one lives."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar

from aurora_atlan.persistence.database import Connection, Database
from aurora_atlan.persistence.durability import PostgresState, read_postgres_state
from aurora_atlan.persistence.errors import StoreError, translated

T = TypeVar("T")


def new_owner() -> int:
    """Make the random id of this process start, a positive number of 62 bits."""
    return secrets.randbits(62) | 1


class OwnerLock:
    """A session advisory lock on the owner's id, over one connection of its own.

    When the process dies, PostgreSQL frees the lock at once, and others take its events without
    waiting for their leases to end.
    """

    def __init__(self, database: Database, owner: int) -> None:
        self._database = database
        self._owner = owner
        self._connection: Connection | None = None

    def keep(self) -> None:
        """Take the lock, or see that it is still held; raises a :class:`StoreError` when it is not.

        This is also the sign of life of PostgreSQL: one round trip.
        """
        try:
            if self._connection is None:
                self._connection = self._database.dedicated_connection()
                with translated():
                    self._connection.execute("SELECT pg_advisory_lock(%s)", (self._owner,))
            else:
                with translated():
                    self._connection.execute("SELECT 1")
        except StoreError:
            self.release()
            raise

    def postgres_state(self) -> PostgresState:
        """Read how safe a commit is as PostgreSQL is configured now; to be called while the lock is kept."""
        return self.read(read_postgres_state)

    def read(self, look: Callable[[Connection], T]) -> T:
        """Look at something over the lock's connection, to be called while the lock is kept.

        It waits for nobody: a full pool is no outage. Raises a :class:`StoreError`, and then lets go of the lock.
        """
        assert self._connection is not None
        try:
            with translated():
                return look(self._connection)
        except StoreError:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the lock by closing the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
