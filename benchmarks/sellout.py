"""A sale with ten buyers for each seat: how long until everybody has an answer."""

from __future__ import annotations

import time
import urllib.request
from dataclasses import replace
from typing import cast
from uuid import UUID

import orjson

from benchmarks import plan
from benchmarks.installation import Installation
from benchmarks.judging import judge
from benchmarks.load import Load
from benchmarks.results import MeasurementError, Sample
from benchmarks.world import World

_OVER_WITHIN_S = 30
_POLL_S = 0.005


def sell_out(world: World) -> Sample:
    """Let every buyer ask once, and hold the answers against what they must be."""
    main = world.main
    [event] = main.make_events(1, plan.SELLOUT_SEATS)
    service = world.service(main)
    asked = (world.crowd.tokens_file, event, world.crowd.position, plan.SELLOUT_BUYERS)
    with (
        world.meter.over(service.pid) as shares,
        Load(service.url, "sellout", *asked, seconds=_OVER_WITHIN_S) as load,
    ):
        ended_at = _last_answer_at(main, service.url, event)
        load.end()
        found = load.sellout()
    # Who was refused for the moment asked again, as one does.
    judge(world, replace(found.answers, refused=found.answers.refused - found.repeated), shares)
    world.crowd.advance(plan.SELLOUT_BUYERS)
    told = dict(
        main.rows(
            "SELECT coalesce(reason, kind), count(*) FROM booking_ledger"
            " WHERE event_id = %s AND job_id IS NOT NULL GROUP BY 1",
            event,
        )
    )
    expected = {"confirmed": plan.SELLOUT_SEATS, "sold_out": plan.SELLOUT_BUYERS - plan.SELLOUT_SEATS}
    world.check(told == expected, f"the sell-out's answers were {told}, not {expected}")
    world.check(found.accepted == plan.SELLOUT_BUYERS, f"{found.accepted:,} buyers were accepted")
    world.check(found.strange == 0, f"{found.strange:,} buyers were answered otherwise than 202, 429 or 503")
    return {"answered_s": ended_at - found.began_at, "repeated": found.repeated, **shares}


def _last_answer_at(main: Installation, url: str, event: int) -> float:
    """Wait for the last buyer's final answer and return when it was told, in seconds since 1970."""
    deadline = time.monotonic() + _OVER_WITHIN_S
    # In the order of acceptance, so the last decision's answer is the last answer. The first entry says that the
    # event was opened.
    while not (last := _job_of_entry(main, event, plan.SELLOUT_BUYERS + 1)):
        if time.monotonic() > deadline:
            raise MeasurementError(f"the sell-out was not over after {_OVER_WITHIN_S:g} s")
        time.sleep(_POLL_S)
    while True:
        with urllib.request.urlopen(f"{url}/api/bookings/status/{last}", timeout=10) as response:
            if orjson.loads(response.read())["status"] == "failed":
                return time.time()
        time.sleep(_POLL_S)


def _job_of_entry(main: Installation, event: int, entry: int) -> UUID | None:
    rows = main.rows("SELECT job_id FROM booking_ledger WHERE event_id = %s AND entry_number = %s", event, entry)
    return cast(UUID, rows[0][0]) if rows else None
