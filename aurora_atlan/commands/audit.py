"""``aurora-atlan audit``: the proof, recomputed from the rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
import orjson

from aurora_atlan.commands.errors import CommandError
from aurora_atlan.commands.stores import command_settings
from aurora_atlan.persistence.audit import Auditor
from aurora_atlan.persistence.audit_report import AuditProgress, AuditReport, EventAudit, ProgressCallback
from aurora_atlan.persistence.database import Database
from aurora_atlan.persistence.embedded import EmbeddedServerError, connect_or_start
from aurora_atlan.persistence.errors import SchemaError, StoreError

_EVENTS_SHOWN_MAX = 20
_VIOLATIONS_SHOWN_MAX = 50
_LINE_EVERY_S = 5.0

_CLEAN, _VIOLATED = 0, 1


class NotAuditedError(CommandError):
    """Ends the audit without a verdict: neither of a clean database nor of a violated one."""

    exit_code = 2


@click.command("audit")
@click.option("--event", "event_id", type=click.IntRange(1, 2**53 - 1), help="Audit this event only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def command(event_id: int | None, as_json: bool) -> None:
    """Recompute every event from its rows and replay the ledger.

    Checks that nothing was ever oversold or undersold, that every job has one outcome, that decisions were
    made in the order of acceptance, and that no row was changed, added or deleted. May run while the
    service sells. Exits 0 when all is well, 1 when a promise is broken (each violation is named), 2 when
    the audit could not be made.
    """
    try:
        with connect_or_start(command_settings(), purpose="audit") as settings, _progress() as progress:
            report = Auditor(Database(settings)).run(event_id, progress)
    except EmbeddedServerError as error:
        raise NotAuditedError(str(error)) from error
    except SchemaError as error:
        raise NotAuditedError("the database's schema is not this version's; run aurora-atlan migrate") from error
    except StoreError as error:
        raise NotAuditedError(f"PostgreSQL cannot be used: {error}") from error
    if event_id is not None and not report.events:
        raise NotAuditedError(f"there is no event {event_id}")
    if as_json:
        click.echo(orjson.dumps(report.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))
    else:
        click.echo("\n".join(_text(report)))
    sys.exit(_CLEAN if report.ok else _VIOLATED)


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    """Show on stderr how far the audit is: a bar on a terminal, elsewhere a line now and then."""
    terminal = sys.stderr.isatty()
    with click.progressbar(length=1, label="Replaying the ledger", file=sys.stderr, hidden=not terminal) as bar:
        told_at = time.monotonic()

        def show(progress: AuditProgress) -> None:
            nonlocal told_at
            bar.length = progress.entries_expected
            bar.update(progress.entries_read - bar.pos)
            if not terminal and time.monotonic() - told_at >= _LINE_EVERY_S:
                told_at = time.monotonic()
                click.echo(f"Replayed {progress.entries_read:,} of {progress.entries_expected:,} entries", err=True)

        yield show


def _text(report: AuditReport) -> Iterator[str]:
    bookings = sum(event.bookings_confirmed + event.bookings_cancelled for event in report.events)
    yield (
        f"Audited {_count(len(report.events), 'event')}, {_count(report.entries, 'ledger entry', 'ledger entries')} "
        f"and {_count(bookings, 'booking')} in {report.duration_s:.1f} s, as they stood at "
        f"{report.at:%Y-%m-%d %H:%M:%S %Z}."
    )
    if report.events:
        yield ""
        yield from _table(report)
    if report.ok:
        yield ""
        yield "OK: no seat oversold or withheld, one outcome per job, in order, chain intact."
        if report.queue_restarts:
            times = "once" if report.queue_restarts == 1 else f"{report.queue_restarts:,} times"
            yield f"Redis lost its place {times}: the order of acceptance is proven up to there and from there on."
        return
    yield ""
    yield f"VIOLATED: {_count(report.violations_found, 'violation')}."
    violations = [violation for event in report.events for violation in event.violations]
    for violation in violations[:_VIOLATIONS_SHOWN_MAX]:
        yield f"  - {violation.sentence}"
    more = report.violations_found - _VIOLATIONS_SHOWN_MAX
    if more > 0:
        yield f"  ... and {more:,} more; --event and --json show more of them"


def _table(report: AuditReport) -> Iterator[str]:
    # Those with violations first: they are what one looks for.
    events = sorted(report.events, key=lambda event: (event.violations_found == 0, event.event_id))
    yield f"{'event':>8}  {'sold':>10} {'of':>10}  {'refused':>9} {'failed':>7} {'entries':>10} {'restarts':>8}"
    for event in events[:_EVENTS_SHOWN_MAX]:
        yield _row(event)
    if len(events) > _EVENTS_SHOWN_MAX:
        yield f"     ... and {_count(len(events) - _EVENTS_SHOWN_MAX, 'event')} more"


def _row(event: EventAudit) -> str:
    sold, capacity = (f"{figure:,}" if figure is not None else "?" for figure in (event.sold, event.capacity))
    refused, failed = event.kinds.get("rejected", 0), event.kinds.get("failed", 0)
    verdict = "ok" if event.violations_found == 0 else f"{_count(event.violations_found, 'violation')}"
    return (
        f"{event.event_id:>8}  {sold:>10} {capacity:>10}  {refused:>9,} {failed:>7,} {event.entries:>10,} "
        f"{event.queue_restarts:>8,}  {verdict:<12} {event.name or ''}"
    )


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
