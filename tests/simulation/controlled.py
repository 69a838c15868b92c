"""Takes time, chance and threads away from the product, so that one seed gives one run."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import pkgutil
import random
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aurora_atlan.actors
from aurora_atlan import supervisor
from aurora_atlan.actors import acceptance, booking, commit, messages, seeding, supervised, watch
from aurora_atlan.actors.decide import Facts, Ruling, decide
from aurora_atlan.actors.supervised import Ref
from aurora_atlan.persistence import job_ids
from aurora_atlan.persistence.records import Inventory, Job
from simulation.booking_store import BookingStoreDouble, OwnerLockDouble
from simulation.queue_store import JobStoreDouble

if TYPE_CHECKING:
    from simulation.world import World

START_S = 1_000.0


class Clock:
    """The clock of one simulated world; it stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = START_S
        self.world: World | None = None

    def monotonic(self) -> float:
        """Return the simulated time."""
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        """Let the others go on meanwhile."""
        assert self.world is not None
        self.world.run_while(lambda: True, seconds)


CLOCK = Clock()
CHANCE = random.Random(0)


class _TurnDouble:
    """A lock whose holder is below on the stack: waiting for it can only time out."""

    def __init__(self) -> None:
        self._held = False

    def acquire(self, timeout: float = 0.0) -> bool:
        if self._held:
            CLOCK.now += timeout
            return False
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        assert self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _NoDatabase:
    """Nothing is connected; the stores above it are doubles."""

    def __init__(self, settings: Any, pool: Any) -> None:
        self.settings = settings

    def open(self) -> None:
        """Do nothing."""

    def close(self, timeout_s: float) -> None:
        """Do nothing."""


class _NothingShared:
    """Nobody looks at events."""

    def close(self) -> None:
        """Do nothing."""


class _FaultsDouble:
    """The product's own fault points, which the world decides over."""

    def __init__(self, rules: Any) -> None:
        self._rules = rules

    def reach(self, point: str) -> None:
        """Let others run here, and perhaps crash."""
        _world().reach(point)


def _world() -> World:
    assert CLOCK.world is not None
    return CLOCK.world


def _tell(ref: Ref | None, message: Any) -> bool:
    _world().preempt()
    _world().watch_message(ref, message)
    return supervised.tell(ref, message)


def _wait(reply: messages.Reply, timeout_s: float) -> Any:
    _world().run_while(lambda: reply._answer is None, timeout_s)
    return reply._answer


def _stop(ref: Ref | None, timeout_s: float) -> None:
    actor = ref._actor_weakref() if ref is not None and ref.is_alive() else None
    if actor is not None:
        actor.stop()
        _world().run_while(lambda: not actor.actor_stopped.is_set(), timeout_s)


def _decide(inventory: Inventory, jobs: list[Job], facts: Facts) -> Ruling:
    for job in jobs:
        if job.user_id in _world().undecidable_users and job.job_id not in facts.poisoned:
            _world().trouble()
            raise ValueError("a job that cannot be decided")
    return _real_decide(inventory, jobs, facts)


_real_decide = decide


def _random_job_id(event_id: int) -> UUID:
    return job_ids._job_id(event_id, CHANCE.randbytes(16), keyed=False)


def _modules() -> list[Any]:
    names = [info.name for info in pkgutil.iter_modules(aurora_atlan.actors.__path__, "aurora_atlan.actors.")]
    return [importlib.import_module(name) for name in names] + [supervisor]


def _replacements() -> Iterator[tuple[Any, str, Any]]:
    for module in _modules():
        for name, real, double in (("time", time, CLOCK), ("random", random, CHANCE), ("tell", supervised.tell, _tell)):
            if module is not supervised and module.__dict__.get(name) is real:
                yield module, name, double
    yield supervisor, "Database", _NoDatabase
    yield supervisor, "BookingStore", lambda database, owner: BookingStoreDouble(_world(), owner)
    yield supervisor, "_job_store", lambda settings, client: JobStoreDouble(_world(), settings)
    yield supervisor, "accepting_client", lambda settings, like: None
    yield supervisor, "patient_client", lambda settings, like: None
    yield supervisor, "cache_client", lambda settings, like: None
    yield supervisor, "SharedEvents", lambda events, client: _NothingShared()
    yield supervisor, "QueuePages", lambda client: None
    yield supervisor, "FinishedJobs", lambda client, ttl_s: None
    yield supervisor, "OwnerLock", lambda database, owner: OwnerLockDouble(_world(), owner)
    yield supervisor, "new_owner", lambda: CHANCE.getrandbits(62) | 1
    yield supervisor, "Faults", _FaultsDouble
    yield watch, "stop", _stop
    yield supervised.SupervisedActor, "_start_actor_loop", lambda actor: _world().adopt(actor)
    yield messages.Reply, "wait", _wait
    yield seeding, "Lock", _TurnDouble
    yield acceptance, "random_job_id", _random_job_id
    yield commit, "decide", _decide


@contextlib.contextmanager
def controlled() -> Iterator[None]:
    """Control the product's time, chance, threads and stores within the block."""
    undo = []
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    recursion = sys.getrecursionlimit()
    sys.setrecursionlimit(max(recursion, 5_000))
    try:
        for target, name, double in _replacements():
            undo.append((target, name, target.__dict__[name]) if name in target.__dict__ else (target, name, None))
            setattr(target, name, double)
        yield
    finally:
        for target, name, real in reversed(undo):
            if real is None:
                delattr(target, name)
            else:
                setattr(target, name, real)
        logging.disable(disabled)
        sys.setrecursionlimit(recursion)


def begin(world: World, seed: int) -> None:
    """Start a world's time and chance from its seed."""
    CLOCK.now, CLOCK.world = START_S, world
    CHANCE.seed(seed)
    booking._batch_ids = itertools.count(1)
