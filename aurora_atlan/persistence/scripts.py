"""Loads the Lua scripts of ``lua/`` and runs them in pipelines, loading them into Redis where it forgot them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError

from aurora_atlan.persistence.errors import from_redis, translated

Argument = str | bytes | int

_WARM_S = 0.2
# The others go back to the pool, for all who use its client.
_WARM_MAX = 16


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the SHA-1 by which Redis knows it."""

    text: str
    sha: str


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]


def load(name: str) -> Script:
    """Return the script ``lua/<name>.lua``."""
    text = resources.files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Runner:
    """Runs scripts over the connections of a client. Any thread may call it."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        # Connections, and when each was last used.
        self._warm: list[tuple[Any, float]] = []
        self._pid = os.getpid()

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run the calls in order, in one round trip, and return their replies.

        Raises a :class:`~aurora_atlan.persistence.errors.StoreError` when any call failed; the others may have
        been done.
        """
        with translated():
            replies = self._round_trip(calls)
            forgotten = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if forgotten:
                # Nothing of these was done, so doing them now keeps their order. By their texts, which also makes
                # Redis remember them.
                again = self._round_trip([calls[index] for index in forgotten], by_text=True)
                for index, reply in zip(forgotten, again, strict=True):
                    replies[index] = reply
        _raise_first_error(replies)
        return replies

    def _round_trip(self, calls: Sequence[Call], *, by_text: bool = False) -> list[Any]:
        # Not by redis-py's own pipeline, which takes longer for a command than all the rest of accepting a job.
        connection = self._take()
        try:
            commands = [_command(call, by_text=by_text) for call in calls]
            connection.send_packed_command(connection.pack_commands(commands))
            replies = [_reply(connection) for _ in calls]
        except BaseException as error:
            # A reply that is still on its way must not be read as the answer to the next question.
            connection.disconnect()
            self._pool.release(connection)
            self._release_warm()
            if isinstance(error, AttributeError):
                # Another thread has disconnected the whole pool, which redis-py does not expect of it.
                raise redis.ConnectionError("disconnected meanwhile") from error
            raise
        if len(self._warm) < _WARM_MAX:
            self._warm.append((connection, time.monotonic()))
        else:
            self._pool.release(connection)
        return replies

    def _take(self) -> Any:
        # The pool asks the system whether the server has hung up meanwhile. Of a connection that was in use a moment
        # ago nobody need ask; should it have, the caller hears it.
        if self._pid != os.getpid():
            # They are the parent's, which goes on with them.
            self._warm, self._pid = [], os.getpid()
        with suppress(IndexError):
            connection, used_at = self._warm.pop()
            if time.monotonic() - used_at < _WARM_S:
                return connection
            self._pool.release(connection)
        return self._pool.get_connection()

    def _release_warm(self) -> None:
        with suppress(IndexError):
            while True:
                self._pool.release(self._warm.pop()[0])


def _command(call: Call, *, by_text: bool) -> tuple[Argument, ...]:
    how = ("EVAL", call.script.text) if by_text else ("EVALSHA", call.script.sha)
    return (*how, len(call.keys), *call.keys, *call.arguments)


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _raise_first_error(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, redis.RedisError):
            raise from_redis(reply) from reply
