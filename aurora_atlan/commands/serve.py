"""``aurora-atlan serve``: the service, with whatever stores it needs."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import click

from aurora_atlan.commands.affinity import Cores, choose_cores
from aurora_atlan.commands.demo import create_demo_events
from aurora_atlan.commands.errors import SettingError
from aurora_atlan.commands.process import collect_rarely, give_back_large_blocks, spread_waiting_threads
from aurora_atlan.commands.signals import ForcedStop, StopSignals
from aurora_atlan.commands.welcome import welcome
from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.config.logging import configure_logging
from aurora_atlan.http.listening import ListenError, bind
from aurora_atlan.http.server import Server
from aurora_atlan.persistence.embedded import EmbeddedServers
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.migrate import migrate
from aurora_atlan.supervisor import Supervisor

# Together with the embedded servers' own stop less than the 20 seconds that a stop may take.
_HTTP_STOP_TIMEOUT_S = 8.0
_SUPERVISOR_STOP_TIMEOUT_S = 8.0
_READY_TIMEOUT_S = 15.0
_READY_POLL_S = 0.05
_WATCH_EVERY_S = 0.5
_FORCED_EXIT_CODE = 1

log = logging.getLogger(__name__)


@click.command("serve")
@click.option("--host", help="The address to listen on, instead of HOST.")
@click.option("--port", type=int, help="The port to listen on, instead of PORT; 0 for any free one.")
@click.option("--threads", type=int, help="How many requests are worked on at once, instead of AURORA_THREADS.")
def command(host: str | None, port: int | None, threads: int | None) -> None:
    """Serve the API until SIGTERM or Ctrl-C; a second one stops at once.

    Starts a PostgreSQL and a Redis of its own where DATABASE_URL or REDIS_URL is not set, and stops them
    with itself.
    """
    given: dict[str, Any] = {"host": host, "port": port, "threads": threads}
    settings = replace(Settings.from_env(), **{name: value for name, value in given.items() if value is not None})
    configure_logging(settings.log_level, settings.log_format)
    try:
        serve(settings)
    except ListenError as error:
        raise SettingError(str(error)) from error
    except ForcedStop:
        click.echo("Stopped at once, as asked twice.", err=True)
        raise SystemExit(_FORCED_EXIT_CODE) from None


def serve(settings: Settings) -> None:
    """Run the service in the main thread until a signal tells it to stop.

    Raises :class:`ConfigurationError` and :class:`ListenError`, before anything is started where it can, and
    leaves nothing running.
    """
    bind(settings.host, settings.port, setting="PORT").close()
    if settings.ops_port is not None:
        bind(settings.ops_host, settings.ops_port, setting="AURORA_OPS_PORT").close()
    give_back_large_blocks()
    spread_waiting_threads()
    cores = choose_cores(settings.cpu_affinity)
    with StopSignals() as signals, EmbeddedServers(settings, purpose="serve") as servers:
        with cores.elsewhere():
            effective = servers.start()
        if effective.jwt_secret is None:
            raise ConfigurationError("JWT_SECRET is not set; it accepts a secret of at least 32 bytes")
        if servers.database_is_ours and effective.migrate_on_start and effective.migrator_database_url:
            # The supervisor would, too; but not before its first connections ask for a role that is not there.
            migrate(effective.migrator_database_url)
        if not signals.asked:
            cores.pin()
            _run(effective, servers, cores, signals)
    click.echo("Stopped.")


def _run(settings: Settings, servers: EmbeddedServers, cores: Cores, signals: StopSignals) -> None:
    supervisor = Supervisor(settings)
    server = Server(supervisor, settings)
    try:
        supervisor.start()
        server.start()
        _await_ready(supervisor, signals)
        if servers.database_is_ours:
            _create_demo_events(supervisor)
        collect_rarely()
        click.echo(welcome(settings, server.port, server.ops_port, cores.describe(), servers.names))
        while not signals.wait(_WATCH_EVERY_S):
            if servers.ended:
                with cores.elsewhere():
                    servers.revive()
        click.echo("Stopping: requests and bookings under way are finished first.")
    finally:
        # What is still queued waits in Redis for the next start.
        server.stop(_HTTP_STOP_TIMEOUT_S)
        supervisor.stop(_SUPERVISOR_STOP_TIMEOUT_S)


def _await_ready(supervisor: Supervisor, signals: StopSignals) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while not supervisor.health().ready and time.monotonic() < deadline:
        if signals.wait(_READY_POLL_S):
            return
    for name, component in supervisor.health().components.items():
        if not component.ok:
            log.warning("not ready yet, and trying on: %s: %s", name, component.detail)


def _create_demo_events(supervisor: Supervisor) -> None:
    try:
        if created := create_demo_events(supervisor.events):
            log.info("created %d demonstration events", created)
    except StoreError:
        log.warning("could not create the demonstration events", exc_info=True)
