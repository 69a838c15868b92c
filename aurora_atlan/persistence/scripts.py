"""Loads the Lua scripts of ``lua/`` and runs them in pipelines, loading them into Redis where it forgot them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError

from aurora_atlan.persistence.errors import from_redis, translated

Argument = str | bytes | int


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


def run(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run the calls in order, in one round trip, and return their replies.

    Raises a :class:`~aurora_atlan.persistence.errors.StoreError` when any call failed; the others may have
    been done.
    """
    with translated():
        replies = _pipeline(client, calls)
        forgotten = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if forgotten:
            # Nothing of these was done, so doing them now keeps their order. By their texts, which also makes Redis
            # remember them.
            again = _pipeline(client, [calls[index] for index in forgotten], by_text=True)
            for index, reply in zip(forgotten, again, strict=True):
                replies[index] = reply
    _raise_first_error(replies)
    return replies


def _pipeline(client: redis.Redis, calls: Sequence[Call], *, by_text: bool = False) -> list[Any]:
    with client.pipeline(transaction=False) as pipeline:
        for call in calls:
            if by_text:
                pipeline.eval(call.script.text, len(call.keys), *call.keys, *call.arguments)
            else:
                pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.arguments)
        return pipeline.execute(raise_on_error=False)


def _raise_first_error(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, redis.RedisError):
            raise from_redis(reply) from reply
