"""Runs rows, each in a process of its own, shows how they come on, and says at the end what was proven."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TextIO

import click
import psutil

from faults.row import SOMETIMES, FaultError, Row, Scale, Stage, unique_keys, wanted

_MODULES = ("rows_service", "rows_http", "rows_redis", "rows_postgres", "rows_actors", "rows_stores")
# Of the six minutes that continuous integration has, what the rows may use.
_CI_BUDGET_S = 320.0
# A row's start and its end, when its own budget does not run.
_OVERHEAD_S = 6.0
_BUDGET_MIN_S = 2.0
# A row that says nothing for so long hangs.
_SILENCE_S = {Scale.ONCE: 90.0, Scale.CI: 90.0, Scale.FULL: 300.0, Scale.LONG: 900.0}
_GIVE_UP_S = 15.0
_POLL_S = 0.2
# Sentences that only say that something took too long. A broken promise is told in other words.
_TOO_SLOW = re.compile(r"not within |I7: |I10: |.*(s are allowed|percentile|(after|took|waited) [\d.]+ s)")
_SMALL = (Scale.ONCE, Scale.CI)
_PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Result:
    """What came of a row."""

    row: Row
    wanted: int
    reached: int = 0
    # Sentences; none: it passed.
    problems: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    sometimes: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    # Kept when it failed.
    folder: Path | None = None

    @property
    def ok(self) -> bool:
        """True when it passed."""
        return not self.problems

    @property
    def only_slow(self) -> bool:
        """True when it failed, and time alone was to blame."""
        sentences = [sentence for problem in self.problems for sentence in problem.splitlines()]
        return bool(sentences) and all(_TOO_SLOW.match(sentence) for sentence in sentences)


@dataclass
class _Performance:
    result: Result
    process: BaseProcess
    told: Connection
    folder: Path
    began_at: float
    heard_at: float
    over: bool = False


class Runner:
    """Runs rows, some at a time, and ends every process they leave behind."""

    def __init__(self, scale: Scale, *, jobs: int, budget_s: float = _CI_BUDGET_S, out: TextIO = sys.stdout) -> None:
        self._scale = scale
        self._jobs = jobs
        self._budget_s = budget_s
        self._out = out
        self._live = out.isatty()
        self._results: list[Result] = []
        self._running: list[_Performance] = []
        self._began_at = 0.0
        self._context = multiprocessing.get_context("spawn")

    def run(self, rows: Sequence[Row]) -> list[Result]:
        """Run them all, whatever becomes of each; what was only too slow in a crowd may show itself alone."""
        self._began_at = time.monotonic()
        with orphans_are_ours():
            self._run(rows)
            slow = [result for result in self._results if result.only_slow] if self._scale in _SMALL else []
            if slow:
                self._say("Too slow beside other rows, so once more, each by itself:")
                self._results = [result for result in self._results if result not in slow]
                self._jobs = 1
                self._run([result.row for result in slow])
        return self._results

    def _run(self, rows: Sequence[Row]) -> None:
        waiting = list(rows)
        try:
            while waiting or self._running:
                while waiting and self._may_start(waiting[0]):
                    self._start(waiting.pop(0), rows_left=len(waiting) + 1)
                self._listen()
        finally:
            for performance in self._running:
                self._end(performance)

    def _may_start(self, row: Row) -> bool:
        if any(performance.result.row.alone for performance in self._running):
            return False
        return len(self._running) < (1 if row.alone else self._jobs)

    def _start(self, row: Row, rows_left: int) -> None:
        folder = Path(tempfile.mkdtemp(prefix="aaf"))
        # For root: PostgreSQL's account must pass through.
        folder.chmod(0o711)
        left_s = self._budget_s - (time.monotonic() - self._began_at)
        budget_s = max(_BUDGET_MIN_S, left_s * self._jobs / rows_left - _OVERHEAD_S)
        told, telling = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=perform, args=(row.key, self._scale, folder, budget_s, telling), name=f"row-{row.key}"
        )
        process.start()
        telling.close()
        now = time.monotonic()
        result = Result(row, wanted(row, self._scale))
        self._running.append(_Performance(result, process, told, folder, now, now))

    def _listen(self) -> None:
        for ready in wait([performance.told for performance in self._running], _POLL_S):
            performance = next(one for one in self._running if one.told is ready)
            try:
                self._take(performance, performance.told.recv())
            except EOFError:
                performance.over = True
        now = time.monotonic()
        for performance in list(self._running):
            if not performance.over and now - performance.heard_at > _SILENCE_S[self._scale]:
                performance.result.problems.append(f"nothing moved for {_SILENCE_S[self._scale]:.0f} s")
                performance.over = True
            if performance.over:
                self._running.remove(performance)
                self._close(performance)
        self._show_progress()

    def _take(self, performance: _Performance, message: tuple[str, Any]) -> None:
        performance.heard_at = time.monotonic()
        kind, content = message
        if kind == "reached":
            performance.result.reached = content
        else:
            result = performance.result
            result.reached, result.problems, result.seen, result.sometimes = content
            performance.over = True

    def _close(self, performance: _Performance) -> None:
        self._end(performance)
        result = performance.result
        result.took_s = time.monotonic() - performance.began_at
        if performance.process.exitcode != 0 and not result.problems:
            result.problems.append(f"its process ended with {performance.process.exitcode}")
        if result.ok:
            shutil.rmtree(performance.folder, ignore_errors=True)
        else:
            result.folder = performance.folder
        self._results.append(result)
        self._say(line_of(result))
        for problem in result.problems:
            for sentence in problem.splitlines():
                self._say(f"    {sentence}")
        if result.folder is not None:
            self._say(f"    its folder: {result.folder}")

    def _end(self, performance: _Performance) -> None:
        process = performance.process
        process.join(_GIVE_UP_S if performance.over else 0.0)
        descendants = _descendants(process.pid)
        if process.is_alive() and process.pid is not None:
            # As Ctrl-C does: it ends its servers itself.
            os.kill(process.pid, signal.SIGINT)
            process.join(_GIVE_UP_S)
        if process.is_alive():
            process.kill()
            process.join()
        _kill(descendants)
        performance.told.close()

    def _say(self, line: str) -> None:
        click.echo(f"\r\033[K{line}" if self._live else line, file=self._out)

    def _show_progress(self) -> None:
        if self._live:
            now = time.monotonic()
            under_way = ", ".join(
                f"{one.result.row.key} {one.result.reached}/{one.result.wanted} {now - one.began_at:.0f} s"
                for one in self._running
            )
            click.echo(f"\r\033[K  {now - self._began_at:4.0f} s  {under_way}"[:160], nl=False, file=self._out)


def perform(key: str, scale: Scale, folder: Path, budget_s: float, telling: Connection) -> None:
    """Run one row in this process and tell the other end of the pipe how it goes."""
    row = row_named(key)
    stage = Stage(scale, wanted(row, scale), folder, budget_s)
    stage.on_progress(lambda: telling.send(("reached", stage.reached)))
    problems = []
    # Whatever a row and its servers print belongs to its folder.
    with (folder / "output.txt").open("w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        try:
            row.run(stage)
        except FaultError as error:
            problems = [str(error)]
        except KeyboardInterrupt:
            problems = ["interrupted"]
        except BaseException as error:  # noqa: BLE001 - a row that breaks has not passed
            traceback.print_exc()
            problems = [f"{type(error).__name__}: {error}"]
        if not problems and stage.reached == 0:
            problems = ["the fault was not injected once"]
        sys.stdout.flush()
        sys.stderr.flush()
    telling.send(("done", (stage.reached, problems, stage.seen, stage.sometimes)))
    telling.close()
    # A thread that a broken row left behind must not keep its process.
    os._exit(0)


def all_rows() -> list[Row]:
    """Return the rows of every module, in the order in which they run."""
    rows = [row for name in _MODULES for row in _rows_of(name)]
    unique_keys(rows)
    return rows


def row_named(key: str) -> Row:
    """Return one row, and import no module but those up to its own."""
    return next(row for name in _MODULES for row in _rows_of(name) if row.key == key)


def _rows_of(name: str) -> Sequence[Row]:
    rows: Sequence[Row] = importlib.import_module(f"faults.{name}").ROWS
    return rows


def line_of(result: Result) -> str:
    """Return one row's result in one line."""
    verdict = "ok  " if result.ok else "FAIL"
    seen = ", ".join(f"{name} {value}" for name, value in result.seen.items())
    count = f"{result.reached:,}/{result.wanted:,}"
    return f"{result.row.key:28} {count:>15}  {verdict}  {result.took_s:5.1f} s  {seen}"


def sometimes_of(results: Iterable[Result]) -> Counter[str]:
    """Return how often each rare path was taken, over all rows."""
    total: Counter[str] = Counter(dict.fromkeys(SOMETIMES, 0))
    for result in results:
        total.update(result.sometimes)
    return total


@contextlib.contextmanager
def orphans_are_ours() -> Iterator[None]:
    """Become the parent of processes whose parent dies, where the system can, and end all descendants at the end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _kill(_descendants(os.getpid()))


def _descendants(pid: int | None) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if "resource_tracker" not in " ".join(process.cmdline()):
                process.kill()
    psutil.wait_procs(processes, timeout=5.0)
