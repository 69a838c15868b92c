"""What the scenarios share: stores, users, load, and the processes under test, started when first needed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar

from benchmarks import plan, row_lock
from benchmarks.crowd import Crowd
from benchmarks.installation import Installation
from benchmarks.load import Load
from benchmarks.placement import Placement
from benchmarks.results import Results
from benchmarks.services import Engine, Server
from benchmarks.stores import Stores
from benchmarks.usage import Meter

ENGINE = "engine"
USUAL = "usual"
LIMITED = "limited"
UNMEASURED = "unmeasured"
_MAIN = "aurora"
_AUDITED = (_MAIN, USUAL, LIMITED, UNMEASURED, ENGINE)
_ROW_LOCK = "row_lock"

Process = TypeVar("Process", Server, Engine)


class World:
    """Everything of one run, inside the ``with`` block; its own thread belongs on the cores that do not serve."""

    def __init__(self, given: plan.Plan, folder: Path, placement: Placement) -> None:
        self.plan = given
        self.folder = folder
        self.placement = placement
        self.results = Results()
        # The scenario that is being measured, to say where a promise was broken.
        self.doing = ""
        self.stores = Stores(folder)
        self.meter = Meter(self.stores)
        self._numbers = itertools.count()
        self._installations: dict[str, Installation] = {}
        self._processes: dict[str, Server | Engine] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.crowd = Crowd(self.folder, self.plan.users)
        self._stack.enter_context(self.stores)
        self._stack.callback(self.stop_processes)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def main(self) -> Installation:
        """The installation in which everything happened as it does to a user, and which is audited."""
        return self.installation(_MAIN)

    def installation(self, name: str, users: int = 0, environ: Mapping[str, str] | None = None) -> Installation:
        """Return an installation, made if absent, with all users of the crowd and at least so many.

        Its service runs with ``environ`` besides the usual settings.
        """
        if name not in self._installations:
            made = Installation(
                name,
                self.stores.database(name),
                self.stores.redis.url(next(self._numbers)),
                max(users, self.crowd.total),
                environ,
            )
            self._stack.callback(made.close)
            self._installations[name] = made
        return self._installations[name]

    def audited(self) -> list[Installation]:
        """Return the installations in which nothing was made up, as far as they were needed."""
        return [self._installations[name] for name in _AUDITED if name in self._installations]

    def service(self, installation: Installation) -> Server:
        """Return the service over an installation."""
        return self._process(
            f"service-{installation.name}",
            lambda log_file: Server(
                ["aurora_atlan", "serve"],
                installation.environ() | self._affinity(),
                # It pins itself.
                cores=self.placement.allowed,
                log_file=log_file,
                ready_path="/readyz",
            ),
        )

    def engine(self, installation: Installation) -> Engine:
        """Return the engine without HTTP over an installation."""
        return self._process(
            f"engine-{installation.name}",
            lambda log_file: Engine(installation.environ(), cores=self.placement.serving, log_file=log_file),
        )

    def bare(self, *, untuned: bool = False) -> Server:
        """Return the baseline that does nothing; ``untuned`` as the system and the interpreter treat any process."""
        return self._baseline("bare", {"UNTUNED": "1"}, "bare-untuned") if untuned else self._baseline("bare", {})

    def row_lock(self) -> Server:
        """Return the baseline that takes a row lock per request."""
        return self._baseline("row_lock", {"DATABASE_URL": self.row_lock_url()})

    def row_lock_url(self) -> str:
        """Return the database of the row-lock baseline, made if absent."""
        url = self.stores.database(_ROW_LOCK)
        row_lock.make_tables(url)
        return url

    def book(self, server: Server, turns: Sequence[int], *, seconds: int, rate: float = 0.0) -> Load:
        """Begin to book these events, in this order, as fast as answers come or ``rate`` times a second."""
        targets = self.folder / "events"
        targets.write_text("".join(f"{event}\n" for event in turns), encoding="ascii")
        return Load(server.url, "book", self.crowd.tokens_file, targets, self.crowd.position, rate, seconds=seconds)

    def check(self, promise: bool, failure: str) -> None:
        """Remember a failure unless the promise was kept."""
        if not promise:
            self.results.failures.append(f"{self.doing}: {failure}")

    def stop_processes(self) -> None:
        """Stop every process under test; the next one who needs it starts it again."""
        for process in self._processes.values():
            process.stop()
        self._processes.clear()

    def _baseline(self, module: str, environ: dict[str, str], name: str | None = None) -> Server:
        return self._process(
            name or module,
            lambda log_file: Server(
                [f"benchmarks.{module}"],
                environ,
                cores=self.placement.serving,
                log_file=log_file,
                ready_path="/api/events/view",
            ),
        )

    def _process(self, name: str, start: Callable[[Path], Process]) -> Process:
        known = self._processes.get(name)
        if known is None:
            known = self._processes[name] = start(self.folder / f"{name}.log")
        return known  # type: ignore[return-value]

    def _affinity(self) -> dict[str, str]:
        cores = ",".join(map(str, sorted(self.placement.serving)))
        return {"AURORA_CPU_AFFINITY": cores or "off"}
