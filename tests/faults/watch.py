"""Watches a service's health from the operators' port through a whole row, and says when it did not tell the truth."""

from __future__ import annotations

import http.client
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self
from urllib.parse import urlsplit

import orjson
import psutil

from harness.service import ServiceProcess

_EVERY_S = 0.1
_TELLS_WITHIN_S = 2.0
# A probe that takes longer is as good as no answer.
_TIMEOUT_S = 2.0
_DYING_S = 1.0
_SENTENCES_MAX = 10


@dataclass(frozen=True)
class Health:
    """What one look saw."""

    # 0: nobody answered
    live: int
    ready: int
    degraded: bool
    # The component's name to its ``ok``.
    components: dict[str, bool]
    report: Any


_NOTHING = Health(0, 0, True, {}, None)


class HealthWatch:
    """Looks ten times a second; liveness must hold while the process serves, outages must show within 2 s."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, name="health-watch", daemon=True)
        self._lock = threading.Lock()
        self._serving = False
        # The component that is down, and since when.
        self._down: dict[str, float] = {}
        self._told: set[str] = set()
        self.latest = _NOTHING
        self.looks = 0
        self.slowest_s = 0.0
        self.violations: list[str] = []
        # Seconds from the outage until health told of it, the longest.
        self.slowest_truth_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * _TIMEOUT_S + 1.0)

    def serving(self, serves: bool) -> None:
        """Say that from now on the process must answer, or need not."""
        with self._lock:
            self._serving = serves

    @contextmanager
    def outage(self, component: str) -> Iterator[None]:
        """Expect the component to be shown as not well within 2 s of the block's beginning, if it lasts that long."""
        with self._lock:
            self._down[component] = time.monotonic()
            self._told.discard(component)
        try:
            yield
        finally:
            with self._lock:
                self._down.pop(component, None)

    def _look_again_and_again(self) -> None:
        while not self._over.wait(_EVERY_S):
            with self._lock:
                expected = self._serving
            began_at = time.monotonic()
            self.latest = look(self._service)
            took_s = time.monotonic() - began_at
            if expected:
                self.looks += 1
                self.slowest_s = max(self.slowest_s, took_s)
                self._judge_liveness(self.latest)
            self._judge_truth(self.latest, began_at)

    def _judge_liveness(self, health: Health) -> None:
        if health.live == 200:
            return
        # A process that is being killed closes its port before it counts as ended.
        deadline = time.monotonic() + _DYING_S
        while time.monotonic() < deadline:
            if not runs(self._service):
                return
            time.sleep(0.01)
        with self._lock:
            still = self._serving
        if still:
            self._note(f"I10: /livez answered {health.live or 'nothing'} while the process ran")

    def _judge_truth(self, health: Health, looked_at: float) -> None:
        if not health.components:
            return
        with self._lock:
            down = dict(self._down)
        for component, since in down.items():
            after_s = looked_at - since
            if component in self._told:
                continue
            if not health.components.get(component, True):
                self._told.add(component)
                self.slowest_truth_s = max(self.slowest_truth_s, after_s)
            elif after_s > _TELLS_WITHIN_S:
                self._told.add(component)
                self._note(f"I10: {after_s:.1f} s after {component} went away /readyz still called it well")

    def _note(self, sentence: str) -> None:
        if len(self.violations) < _SENTENCES_MAX:
            self.violations.append(sentence)


def runs(service: ServiceProcess) -> bool:
    """Tell whether the service's process runs."""
    try:
        return bool(psutil.Process(service.pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except (AssertionError, psutil.NoSuchProcess):
        return False


def look(service: ServiceProcess) -> Health:
    """Ask for liveness and readiness once."""
    connection = http.client.HTTPConnection(urlsplit(service.ops_url).netloc, timeout=_TIMEOUT_S)
    live = ready = 0
    report: Any = None
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        answer.read()
        live = answer.status
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        report = orjson.loads(answer.read())
        ready = answer.status
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError):
        pass
    finally:
        connection.close()
    if not isinstance(report, dict) or "components" not in report:
        return Health(live, ready, True, {}, None)
    components = {name: bool(part["ok"]) for name, part in report["components"].items()}
    return Health(live, ready, bool(report["degraded"]), components, report)


class Stopwatch:
    """Times the answers of the operators' endpoints from a process of its own, whose lock nobody else holds."""

    def __init__(self, service: ServiceProcess) -> None:
        context = multiprocessing.get_context("spawn")
        self._told, told = context.Pipe(duplex=True)
        self._process = context.Process(target=_time_answers, args=(service.ops_url, told), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        # It says when it has begun.
        self._told.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def slowest_s(self) -> float:
        """Return the slowest answer so far, in seconds; to be asked once."""
        self._told.send("enough")
        slowest: float = self._told.recv()
        return slowest


def _time_answers(ops_url: str, told: Connection) -> None:
    slowest_s = 0.0
    connection = http.client.HTTPConnection(urlsplit(ops_url).netloc, timeout=_TIMEOUT_S)
    connection.connect()
    told.send("begun")
    while not told.poll(_EVERY_S / 2):
        for path in ("/livez", "/readyz"):
            began_at = time.monotonic()
            connection.request("GET", path)
            connection.getresponse().read()
            slowest_s = max(slowest_s, time.monotonic() - began_at)
    told.send(slowest_s)
