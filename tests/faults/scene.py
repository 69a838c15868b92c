"""What the rows with real processes have in common: a world under load, watched, and judged when all is quiet."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import psycopg

from faults.load import Load, told_from
from faults.row import FaultError, Stage
from faults.watch import HealthWatch, look, runs
from faults.world import Durability, World, made, wait_for
from harness.service import ServiceProcess
from oracle.checker import Violation, check_final, undecided
from oracle.history import History, Told

_CONVERGED_WITHIN_S = 10.0
_REFUSED_WITHIN_S = 1.5
_FIRST_COMMIT_AFTER_START_S = 3.0
_ALIVE_WITHIN_S = 15.0
_STATUS_TRIES = 20
# What the service logs when a rare path was taken.
EPOCH_ABORT = "another process has taken it over"
_LOGGED = {
    "an epoch abort": EPOCH_ABORT,
    "a successful half-open probe": " works again",
}


class Scene:
    """One row under way."""

    def __init__(self, stage: Stage, world: World, stack: ExitStack) -> None:
        self.stage = stage
        self.world = world
        self.history = History()
        self.load: Load | None = None
        self.watches: dict[ServiceProcess, HealthWatch] = {}
        # What was seen and should not have been; the row goes on and fails at its end.
        self.faults: list[str] = []
        self.losses_allowed = 0
        self.restarts_allowed = False
        self._stack = stack
        self._slowest: dict[str, float] = {}

    @property
    def service(self) -> ServiceProcess:
        """The service, or the first of them."""
        return self.world.service

    @property
    def watch(self) -> HealthWatch:
        """Its health."""
        return self.watches[self.service]

    def add_service(self, **environ: str) -> ServiceProcess:
        """Start one more service process and watch it."""
        service = self.world.add_service(**environ)
        service.start()
        watch = self._stack.enter_context(HealthWatch(service))
        watch.serving(True)
        self.watches[service] = watch
        return service

    def begin(self, **how: Any) -> Load:
        """Let the clients come, and wait until bookings are decided."""
        self.load = Load(self.world, self.stage, self.history, **how).start()
        self.let_decide(20)
        return self.load

    @property
    def clients(self) -> Load:
        """The load, once begun."""
        assert self.load is not None
        return self.load

    def let_decide(self, count: int = 30, within_s: float = 20.0) -> None:
        """Wait until so many more clients have their final answer."""
        target = self.clients.seen.decided + count
        wait_for(lambda: self.clients.seen.decided >= target, within_s, f"{count} more clients have their answer")

    def let_accept(self, count: int = 20, within_s: float = 20.0) -> None:
        """Wait until so many more attempts are accepted."""
        target = self.clients.seen.accepted + count
        wait_for(lambda: self.clients.seen.accepted >= target, within_s, f"{count} more attempts are accepted")

    def expect(self, condition: object, sentence: str) -> None:
        """Note a fault unless the condition holds, and go on."""
        if not condition:
            self.faults.append(sentence)

    def limit(self, what: str, took_s: float, limit_s: float) -> None:
        """Note how long something took, the slowest for the report; a fault when it took longer than it may."""
        if took_s > self._slowest.get(what, -1.0):
            self._slowest[what] = took_s
            self.stage.seen[f"slowest {what}"] = f"{took_s:.2f} s"
        self.expect(took_s <= limit_s, f"{what} took {took_s:.2f} s, {limit_s:g} s are allowed")

    # The service as a process.

    def kill_service(self) -> None:
        """SIGKILL the service."""
        self.watch.serving(False)
        self.service.kill()

    def start_service(self) -> None:
        """Start it again; the first commit must come within 3 s."""
        before = self.world.decided()
        began_at = time.monotonic()
        self.service.start(wait=False)
        took_s = self.world.first_commit(before, began_at, _FIRST_COMMIT_AFTER_START_S, "the service's start")
        self.limit("first commit", took_s, _FIRST_COMMIT_AFTER_START_S)
        self.service.wait_ready(_ALIVE_WITHIN_S)
        self.watch.serving(True)

    def start_armed(self, rules: str) -> None:
        """Start it with these fault points, at which it may end at once; nothing is expected of it."""
        self.service.environ["AURORA_FAULT_POINTS"] = rules
        self.service.start(wait=False)

    def service_ends(self, within_s: float) -> bool:
        """Wait for the service to end by itself; False when it goes on."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if not runs(self.service):
                self.watch.serving(False)
                self.service.wait_ended()
                return True
            time.sleep(0.02)
        return False

    def wait_well(self, within_s: float, what: str) -> float:
        """Wait until every service is ready and not degraded; return the seconds it took."""
        began_at = time.monotonic()
        wait_for(lambda: all(_well(service) for service in self.world.services), within_s, f"all is well {what}")
        return time.monotonic() - began_at

    def undecided(self, jobs: Collection[UUID]) -> int:
        """Return how many of these jobs have no outcome."""
        return undecided(self.world.url, jobs)

    def lost(self) -> int:
        """Return how many accepted jobs have no outcome."""
        return self.undecided(self.history.accepted_jobs())

    # The end.

    def finish(self, *checks: Callable[[Scene], None]) -> None:
        """Stop the load, wait until all is quiet, and judge; raises FaultError with all that is wrong."""
        self.clients.stop()
        problems = list(self._converge())
        for check in checks:
            check(self)
        problems += self.faults
        problems += [f"{found.invariant}: {found.sentence}" for found in self._judge()]
        for watch in self.watches.values():
            problems += watch.violations
        seen = self.clients.seen
        problems += [f"an answer that nobody should get: {sentence}" for sentence in seen.surprises]
        self._note_rare_paths()
        accepted = len(self.history.accepted_jobs())
        self.stage.seen["accepted"] = f"{accepted:,}"
        if problems:
            raise FaultError("\n".join(dict.fromkeys(problems)))

    def _converge(self) -> Iterator[str]:
        began_at = time.monotonic()
        try:
            wait_for(lambda: self.world.queued() == 0, _CONVERGED_WITHIN_S, "the queues are empty")
            left_s = max(0.5, _CONVERGED_WITHIN_S - (time.monotonic() - began_at))
            self.wait_well(left_s, "at the end")
        except FaultError as error:
            yield f"I7: {error} (waiting: {self.world.queued()}, health: {self.watch.latest.report})"

    def _judge(self) -> Iterator[Violation]:
        with StatusDesk(self.world) as desk:
            yield from check_final(
                self.world.url,
                self.history,
                losses_allowed=self.losses_allowed,
                restarts_allowed=self.restarts_allowed,
                others_allowed=bool(self.clients.seen.unanswered),
                status_of=desk.ask,
            )
        yield from self._strangers()

    def _strangers(self) -> Iterator[Violation]:
        # Outcomes of jobs that no client has the id of are those of clients that got no answer at all.
        known = self.history.accepted_jobs() | self.history.possible_jobs()
        unanswered = self.clients.seen.unanswered.copy()
        with psycopg.connect(self.world.url, autocommit=True) as connection:
            rows = connection.execute("SELECT job_id, event_id, user_id FROM booking_ledger WHERE job_id IS NOT NULL")
            for job_id, event_id, user_id in rows:
                if job_id in known:
                    continue
                unanswered[event_id, user_id] -= 1
                if unanswered[event_id, user_id] < 0:
                    yield Violation("I2", f"job {job_id} of user {user_id} has an outcome, and nobody asked for it")

    def _note_rare_paths(self) -> None:
        text = "".join(service.log_text() for service in self.world.services)
        for name, words in _LOGGED.items():
            self.stage.once(name, text.count(words))
        with psycopg.connect(self.world.url, autocommit=True) as connection:
            [(batches,)] = connection.execute(
                "SELECT count(*) FROM (SELECT FROM booking_ledger WHERE job_id IS NOT NULL"
                " GROUP BY event_id, at HAVING count(*) > 1) AS batches"
            ).fetchall()
        self.stage.once("a batch of more than one job", int(batches))


class StatusDesk:
    """Asks the services for jobs, over connections that it keeps."""

    def __init__(self, world: World) -> None:
        self._hosts = [urlsplit(service.url).netloc for service in world.services]
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._turn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()

    def ask(self, job_id: UUID) -> Told | None:
        """Return the final answer for a job; None when it is unknown or unfinished."""
        for _ in range(_STATUS_TRIES):
            self._turn += 1
            host = self._hosts[self._turn % len(self._hosts)]
            connection = self._connections.setdefault(host, http.client.HTTPConnection(host, timeout=5.0))
            try:
                connection.request("GET", f"/api/bookings/status/{job_id}")
                answer = connection.getresponse()
                body = orjson.loads(answer.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            if answer.status == 200:
                return told_from(job_id, body) if body["status"] in ("completed", "failed") else None
            if answer.status == 404:
                return None
            # 503: a connection that broke is met once.
            time.sleep(0.02)
        return None


def _well(service: ServiceProcess) -> bool:
    health = look(service)
    return health.ready == 200 and not health.degraded


@contextmanager
def scene(
    stage: Stage,
    *,
    services: int = 1,
    durability: Durability = "always",
    environ: Mapping[str, str] | None = None,
    postgres_options: Mapping[str, str] | None = None,
) -> Iterator[Scene]:
    """Set up a world with running services; what clients saw is kept in the stage's folder, also of a failed row."""
    with (
        made(stage, durability=durability, environ=environ, postgres_options=postgres_options) as world,
        ExitStack() as stack,
    ):
        act = Scene(stage, world, stack)
        try:
            for _ in range(services):
                act.add_service()
            yield act
        finally:
            if act.load is not None and act.load.running:
                act.load.abandon()
            act.history.save(stage.folder / "history.jsonl")


def refused_in_time(act: Scene) -> None:
    """Expect that nobody waited longer than 1.5 s for a 503."""
    act.limit("503", act.clients.seen.slowest_refusal_s, _REFUSED_WITHIN_S)
