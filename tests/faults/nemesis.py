"""Somebody who breaks one thing after the other, at random, and repairs it again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from aurora_atlan.config.faults import FAULT_POINTS
from aurora_atlan.persistence import scripts
from faults.proxy import AtPattern, NextReply
from faults.rows_postgres import freeze_amid_transaction
from faults.scene import Scene

_EVERY_S = 10.0
_AWAY_S = (0.1, 3.0)
_CUTS_WITHIN_S = 5.0
_CHANCE = 0.05
_ENDS_WITHIN_S = 5.0
# Reached by every booking; the others need an actor that comes or goes.
_POINTS = FAULT_POINTS[:7]


class Nemesis:
    """Injects faults into a scene, one at a time; each is over when :meth:`strike` returns."""

    def __init__(self, act: Scene, seed: int = 1) -> None:
        self._act = act
        self._chance = random.Random(seed)
        self.strikes: Counter[str] = Counter()
        self._faults: dict[str, Callable[[], None]] = {
            "service killed": self._kill_service,
            "service killed at a fault point": self._kill_at_a_point,
            "Redis killed": self._kill_redis,
            "Redis unreachable": self._hide_redis,
            "Redis reply dropped": self._drop_reply,
            "PostgreSQL restarted": partial(self._restart_postgres, kill=False),
            "PostgreSQL killed": partial(self._restart_postgres, kill=True),
            "PostgreSQL unreachable": self._hide_postgres,
            "backend frozen": self._freeze_backend,
            "COMMIT's reply cut": self._cut_commit,
            "connections reset": self._reset,
        }

    def strike(self) -> str:
        """Inject a fault, let it last, repair it, and wait until all is well; return its name."""
        # Each kind comes before one comes again.
        fewest = min(self.strikes[name] for name in self._faults)
        name = self._chance.choice([name for name in self._faults if self.strikes[name] == fewest])
        self._faults[name]()
        self.strikes[name] += 1
        self._act.wait_well(15.0, f"after: {name}")
        return name

    def wait_turn(self, since: float, every_s: float = _EVERY_S) -> None:
        """Wait until it is time for the next one."""
        time.sleep(max(0.0, since + every_s - time.monotonic()))

    def _last(self) -> None:
        time.sleep(self._chance.uniform(*_AWAY_S))

    def _kill_service(self) -> None:
        self._act.kill_service()
        self._act.start_service()

    def _kill_at_a_point(self) -> None:
        act = self._act
        act.kill_service()
        act.start_armed(f"{self._chance.choice(_POINTS)}=kill@{_CHANCE}")
        if not act.service_ends(_ENDS_WITHIN_S):
            act.kill_service()
        act.service.environ.pop("AURORA_FAULT_POINTS")
        act.start_service()

    def _kill_redis(self) -> None:
        with self._act.watch.outage("redis"):
            self._act.world.kill_redis()
            self._last()
        self._act.world.start_redis()

    def _hide_redis(self) -> None:
        proxy = self._act.world.redis_proxy
        with self._act.watch.outage("redis"):
            self._chance.choice((proxy.black_hole, proxy.hold))()
            self._last()
        proxy.pass_on()

    def _drop_reply(self) -> None:
        cut = NextReply(scripts.load("enqueue_jobs").sha.encode(), times=3)
        self._act.world.redis_proxy.arm(cut)
        cut.wait(_CUTS_WITHIN_S, 3)
        self._act.world.redis_proxy.disarm(cut)

    def _restart_postgres(self, *, kill: bool) -> None:
        with self._act.watch.outage("postgresql"):
            self._act.world.stop_postgres(kill=kill)
            self._last()
        self._act.world.start_postgres()

    def _hide_postgres(self) -> None:
        proxy = self._act.world.postgres_proxy
        self._chance.choice((proxy.black_hole, proxy.hold))()
        self._last()
        proxy.pass_on()

    def _freeze_backend(self) -> None:
        pid = freeze_amid_transaction(self._act)
        try:
            self._last()
        finally:
            os.kill(pid, signal.SIGCONT)

    def _cut_commit(self) -> None:
        cut = AtPattern(b"COMMIT\0", after=b"UPDATE ", times=3)
        self._act.world.postgres_proxy.arm(cut)
        cut.wait(_CUTS_WITHIN_S, 3)
        self._act.world.postgres_proxy.disarm(cut)
        self._act.stage.once("an unknown COMMIT", cut.count)

    def _reset(self) -> None:
        self._act.world.postgres_proxy.reset()
        self._act.world.redis_proxy.reset()
