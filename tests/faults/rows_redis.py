"""Rows in which Redis dies, hangs, forgets, goes back in time or takes no writes, under load."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

import redis

from aurora_atlan.persistence import scripts
from faults.proxy import NextReply
from faults.row import Row, Scale, Stage
from faults.scene import Scene, refused_in_time, scene
from faults.world import Durability, wait_for

_RECOVERED_WITHIN_S = 5.0
_CUT_WITHIN_S = 20.0
# With everysec, what was acknowledged so long before a crash is on disk.
_EVERYSEC_S = 2.0
# While it loads, Redis looks at its clients every 2 MB: this makes some three seconds, a look every tenth of one.
_LARGE_KEYS = 200
_LARGE_BYTES = 100_000
_LOAD_S = 2.5
_REPORTED = "at most"
_AWAY_S = (0.1, 0.5, 2.5)
_BLACK_HOLES_S = (1.0, 10.0, 60.0)
_SMALL_BLACK_HOLES_S = (0.5, 1.0, 2.5)


def kill_redis(stage: Stage, durability: Durability) -> None:
    """SIGKILL Redis and start it again with what it has on disk."""
    with scene(stage, durability=durability) as act:
        act.restarts_allowed = durability != "always"
        act.begin()
        while stage.more():
            act.let_decide()
            away_s = _AWAY_S[stage.reached % len(_AWAY_S)]
            with act.watch.outage("redis"):
                accepted = act.clients.accepted_within(_EVERYSEC_S)
                act.world.kill_redis()
                act.losses_allowed += {"always": 0, "everysec": accepted, "none": act.clients.open_jobs()}[durability]
                pause(away_s)
            _recover(act, act.world.start_redis)
            stage.reach()
        act.finish(_check_report, refused_in_time)


def black_hole(stage: Stage) -> None:
    """Redis takes everything and answers nothing; half of the times what was sent arrives afterwards."""
    lengths_s = _BLACK_HOLES_S if stage.scale in (Scale.FULL, Scale.LONG) else _SMALL_BLACK_HOLES_S
    with scene(stage) as act:
        act.begin()
        proxy = act.world.redis_proxy
        while stage.more():
            act.let_decide()
            with act.watch.outage("redis"):
                (proxy.black_hole if stage.reached % 2 else proxy.hold)()
                pause(lengths_s[stage.reached % len(lengths_s)])
            _recover(act, proxy.pass_on)
            stage.reach()
        act.finish(refused_in_time)


def dropped_replies(stage: Stage) -> None:
    """The enqueueing is done, and its reply is lost with the connection."""
    enqueue = scripts.load("enqueue_jobs").sha.encode()
    with scene(stage) as act:
        act.begin()
        while stage.more():
            cut = act.world.redis_proxy.arm(NextReply(enqueue))
            wait_for(partial(cut.wait, 0.1), _CUT_WITHIN_S, "a reply to an enqueueing is dropped")
            act.let_accept(2)
            stage.reach()
        act.finish(refused_in_time)


def emptied(stage: Stage) -> None:
    """Redis has forgotten everything, as a new one after a failover."""
    with scene(stage) as act:
        act.restarts_allowed = True
        act.begin()
        while stage.more():
            act.let_decide()
            with act.world.redis_client() as client:
                client.flushall()
            act.losses_allowed += act.clients.open_jobs()
            _recover(act, lambda: None)
            stage.reach()
        act.finish()


def older(stage: Stage) -> None:
    """Redis comes back with what it knew some time ago, as a lagging replica does."""
    with scene(stage) as act:
        act.restarts_allowed = True
        act.begin()
        while stage.more():
            act.let_decide()
            copy = stage.folder / f"copy-{stage.reached}"
            _copy_aof(act.world.redis.socket.parent, copy)
            act.let_decide()
            act.world.kill_redis()
            act.losses_allowed += act.clients.open_jobs()
            _copy_aof(copy, act.world.redis.socket.parent)
            _recover(act, act.world.start_redis)
            stage.reach()
        act.finish()


def takes_no_writes(stage: Stage, trouble: Callable[[Scene], AbstractContextManager[None]]) -> None:
    """Redis answers, but refuses what is to be written."""
    with scene(stage) as act:
        act.begin()
        while stage.more():
            act.let_decide()
            with act.watch.outage("redis"), trouble(act):
                target = act.clients.seen.answers["503"] + 1
                wait_for(partial(_refused, act, target), 5.0, "somebody is refused")
                pause(2.3 if stage.reached == 0 else 0.3)
            _recover(act, lambda: None)
            stage.reach()
        act.finish(refused_in_time)


@contextmanager
def readonly(act: Scene) -> Iterator[None]:
    """It is a replica of a primary that is gone."""
    with act.world.redis_client() as client:
        client.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


@contextmanager
def out_of_memory(act: Scene) -> Iterator[None]:
    """It holds more than it may."""
    with act.world.redis_client() as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@contextmanager
def misconf(act: Scene) -> Iterator[None]:
    """It could not write its file, and so takes nothing more (MISCONF), as when the disk is full."""
    folder = act.stage.folder / "gone"
    with act.world.redis_client() as client:
        before = client.config_get("dir")["dir"]
        folder.mkdir()
        client.config_set("dir", str(folder))
        folder.rmdir()
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 5.0, "saving fails")
        try:
            yield
        finally:
            client.config_set("dir", before)
            client.config_set("save", "")


@contextmanager
def loading(act: Scene) -> Iterator[None]:
    """It reads its data for some seconds, and answers LOADING meanwhile."""
    with act.world.redis_client() as client:
        client.config_set("rdbcompression", "no")
        client.execute_command("DEBUG", "POPULATE", _LARGE_KEYS, "large", _LARGE_BYTES)
        # Microseconds for each key, the small ones too.
        client.config_set("key-load-delay", str(round(_LOAD_S * 1e6 / client.dbsize())))

        def reload() -> None:
            with act.world.redis_client() as reloading, suppress(redis.RedisError):
                reloading.execute_command("DEBUG", "RELOAD")

        reloading = threading.Thread(target=reload, daemon=True)
        reloading.start()
        try:
            yield
        finally:
            reloading.join(20.0)
            client.config_set("key-load-delay", "0")


def pause(seconds: float) -> None:
    """Let an outage last."""
    time.sleep(seconds)


def _refused(act: Scene, count: int) -> bool:
    return act.clients.seen.answers["503"] >= count


def _recover(act: Scene, end_of_fault: Callable[[], object]) -> None:
    end_of_fault()
    ended_at = time.monotonic()
    act.let_accept(1, within_s=_RECOVERED_WITHIN_S + 5.0)
    act.limit("recovery", time.monotonic() - ended_at, _RECOVERED_WITHIN_S)
    act.wait_well(_RECOVERED_WITHIN_S + 5.0, "with Redis back")


def _check_report(act: Scene) -> None:
    lost = act.lost()
    act.stage.seen["lost"] = f"{lost} of {act.losses_allowed} allowed"
    if lost:
        text = "".join(service.log_text() for service in act.world.services)
        act.expect(_REPORTED in text, f"I6: {lost} jobs were lost, and no log says so")


def _copy_aof(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if "appendonly" in path.name:
            shutil.copy(path, target / path.name)


ROWS = (
    *(
        Row(
            f"redis-kill-{durability}",
            f"Redis SIGKILL + restart, AOF {durability}",
            "losses within the class and *reported*; I1, I3, I4 always",
            20,
            200,
            partial(kill_redis, durability=durability),
        )
        for durability in ("always", "everysec", "none")
    ),
    Row(
        "redis-black-hole",
        "Redis black hole 1 / 10 / 60 s (at small scales 0.5 / 1 / 2.5 s)",
        "503 in <= 1.5 s; no duplicate; nothing stuck",
        10,
        100,
        black_hole,
    ),
    Row(
        "redis-dropped-replies",
        "Redis replies dropped after the enqueue",
        "503 in <= 1.5 s; no duplicate; nothing stuck",
        200,
        2_000,
        dropped_replies,
    ),
    Row("redis-emptied", "Redis empty after failover", "recovers <= 5 s after writable", 5, 50, emptied),
    Row("redis-older", "Redis older after failover", "recovers <= 5 s after writable", 5, 50, older),
    *(
        Row(
            f"redis-{key}",
            f"Redis {fault}",
            "recovers <= 5 s after writable; 503 meanwhile",
            5,
            50,
            partial(takes_no_writes, trouble=trouble),
        )
        for key, fault, trouble in (
            ("readonly", "READONLY", readonly),
            ("loading", "LOADING", loading),
            ("maxmemory", "maxmemory", out_of_memory),
            ("misconf", "cannot write its files (MISCONF), as with a full disk", misconf),
        )
    ),
)
