"""A guest in its host, seen from outside: importing, forgetting to stop, forking."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

_TIMEOUT_S = 30.0

Host = Callable[..., "subprocess.CompletedProcess[str]"]

_BOOK = """
    import sys, threading, time
    from datetime import datetime, timezone
    from aurora_atlan import BookTickets, NewEvent, Settings, Supervisor

    settings = Settings.from_env()
    supervisor = Supervisor(settings)
    supervisor.start()
    while not supervisor.health().ready:
        time.sleep(0.01)
    event = supervisor.create_event(NewEvent("Night", "Hall", datetime(2027, 6, 1, tzinfo=timezone.utc), 10))
    users = [supervisor.create_user(f"Guest {n}", f"guest{n}@example.org") for n in range(3)]

    def book(user):
        answer = supervisor.wait(supervisor.submit(BookTickets(event.id, user.id)), timeout=10)
        print(answer.status.value, flush=True)

    book(users[0])
"""


@pytest.fixture
def host(database_url: str, redis_url: str) -> Host:
    """Runs a program that embeds the supervisor, to its end."""

    def run(program: str, **environ: str) -> subprocess.CompletedProcess[str]:
        stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AURORA_MIGRATE_ON_START": "off"}
        return subprocess.run(
            [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)],
            env={**os.environ, **stores, **environ},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )

    return run


def test_importing_does_nothing_but_that(host: Host) -> None:
    """No thread, no handler, no look at the environment, and no web framework before it is wanted."""
    done = host(
        """
        import logging, signal, sys, threading

        def state():
            handlers = [signal.getsignal(number) for number in signal.valid_signals()]
            return threading.enumerate(), handlers, logging.getLogger().handlers, sys.getswitchinterval()

        before = state()
        import aurora_atlan
        assert state() == before
        assert "falcon" not in sys.modules and "waitress" not in sys.modules
        assert callable(aurora_atlan.create_app)
        from aurora_atlan import *
        print(Supervisor.__name__)
        """,
        AURORA_NO_SUCH_SETTING="1",
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "Supervisor\n", "")


def test_a_host_that_forgets_to_stop_still_ends(host: Host) -> None:
    """It is told so, what was asked of it is done, and its exit code is its own."""
    done = host(_BOOK + "    sys.exit(3)\n")

    assert done.returncode == 3
    assert done.stdout == "completed\n"
    assert "the program ended without stopping its supervisor" in done.stderr
    assert "ResourceWarning" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_host_whose_main_thread_ends_first_is_served_on(host: Host) -> None:
    """The service ends with the last of the host's threads that the interpreter waits for."""
    done = host(
        _BOOK
        + """
    def later():
        threading.main_thread().join()
        for user in users[1:]:
            time.sleep(0.6)
            book(user)

    threading.Thread(target=later).start()
    """
    )

    assert (done.returncode, done.stdout) == (0, "completed\n" * 3)
    assert "the program ended without stopping its supervisor" in done.stderr


def test_a_fork_is_refused_and_leaves_its_parent_alone(host: Host) -> None:
    """A child may make a supervisor of its own; that the parent's is in its memory harms neither."""
    done = host(
        _BOOK
        + """
    import asyncio, os, warnings
    from aurora_atlan import ForkedError
    warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
    if child == 0:
        calls = (
            lambda: book(users[1]),
            lambda: supervisor.status(event.id),
            supervisor.stats,
            lambda: supervisor.events.get(event.id),
            lambda: asyncio.run(supervisor.submit_async(BookTickets(event.id, users[1].id))),
        )
        for call in calls:
            try:
                call()
            except ForkedError as error:
                print(error, flush=True)
        supervisor.stop()
        with Supervisor(settings) as own:
            while not own.health().ready:
                time.sleep(0.01)
            answer = own.wait(own.submit(BookTickets(event.id, users[1].id)), timeout=20)
            print("the child's:", answer.status.value, flush=True)
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    book(users[2])
    assert supervisor.health().components["actors"].values["restarts"] == 0
    supervisor.stop()
    """
    )

    refusal = "this supervisor was started before a fork, by the parent: make and start one in this process\n"
    assert done.stderr == ""
    assert done.stdout == "completed\n" + refusal * 5 + "the child's: completed\ncompleted\n"
    assert done.returncode == 0
