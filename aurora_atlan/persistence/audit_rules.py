"""Replays one event's ledger, entry by entry, and holds every entry against the promises.

It shares nothing with the code that books: the bytes are put together as ``docs/ledger.md`` states them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple

import orjson

from aurora_atlan.persistence.audit_findings import Findings

_GENESIS = bytes(32)
# Entries that answer a job at its turn in the queue.
_DECIDING = frozenset({"confirmed", "rejected", "failed"})


class Entry(NamedTuple):
    """One ledger row; times and the job id in their canonical text."""

    event_id: int
    entry_number: int
    kind: str
    job_id: str | None
    booking_id: int | None
    user_id: int | None
    quantity: int | None
    reason: str | None
    queue_number: int | None
    accepted_at: str | None
    sold_after: int
    capacity_after: int
    at: str
    prev_hash: bytes
    hash: bytes


class Counters(NamedTuple):
    """What the event's inventory row says."""

    capacity: int
    sold: int
    last_queue_number: int
    last_entry: int
    ledger_head: bytes
    # Held against the bookings, not against the ledger.
    bookings: int


def canonical(entry: Entry) -> bytes:
    """Return the bytes whose SHA-256 is the entry's hash."""
    return orjson.dumps([*entry[:13], entry.prev_hash.hex()])


class LedgerReplay:
    """Takes an event's entries in order; what is wrong with them goes to ``findings``."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._previous: Entry | None = None
        # Replayed from the deltas; the entries' own figures must agree.
        self._sold = 0
        self._capacity = 0
        self._last_deciding: Entry | None = None
        self._highest_queue_number: Entry | None = None
        # The smallest attempt refused as sold out since seats last came back.
        self._smallest_refused: Entry | None = None
        self.kinds: Counter[str] = Counter()

    def feed(self, entry: Entry) -> None:
        """Check the next entry."""
        self.kinds[entry.kind] += 1
        self._check_number(entry)
        self._check_hash(entry)
        self._check_figures(entry)
        self._check_order(entry)
        self._check_seats_offered(entry)
        self._previous = entry

    def finish(self, counters: Counters | None) -> None:
        """Hold the last entry against the inventory row."""
        last = self._previous
        if counters is None:
            if last is not None:
                self._add("no_inventory", "the event has a ledger but no row in event_inventory", last)
            return
        if last is None:
            self._findings.add("no_ledger", f"its ledger is empty; the counter last_entry says {counters.last_entry}")
            return
        if counters.last_entry > last.entry_number:
            missing = _missing(last.entry_number + 1, counters.last_entry)
            self._add("missing_entry", f"{missing} after it; the counter last_entry says {counters.last_entry}", last)
            return
        if counters.last_entry < last.entry_number:
            self._add("counter", f"it lies beyond the counter last_entry, which says {counters.last_entry}", last)
        elif counters.ledger_head != last.hash:
            self._add("chain", "it is the last, but the counter ledger_head is not its hash", last)
        for name, said, replayed in (
            ("sold", counters.sold, last.sold_after),
            ("capacity", counters.capacity, last.capacity_after),
        ):
            if said != replayed:
                self._add("counter", f"it leaves {name} at {replayed}, but the counter {name} says {said}", last)
        highest = self._highest_queue_number
        if highest is not None and (highest.queue_number or 0) > counters.last_queue_number:
            self._add(
                "counter",
                f"it decided queue number {highest.queue_number}, but the counter last_queue_number says "
                f"{counters.last_queue_number}",
                highest,
            )

    def _add(self, rule: str, sentence: str, entry: Entry) -> None:
        self._findings.add(
            rule, sentence, entry_number=entry.entry_number, booking_id=entry.booking_id, job_id=entry.job_id
        )

    def _check_number(self, entry: Entry) -> None:
        before = self._previous.entry_number if self._previous is not None else 0
        if entry.entry_number <= before:
            self._add("duplicate_entry", f"its number comes again after entry {before}", entry)
        elif entry.entry_number > before + 1:
            missing = _missing(before + 1, entry.entry_number - 1)
            self._add("missing_entry", f"{missing} before it" + (f", after entry {before}" if before else ""), entry)
            # Whatever stood there may have changed the figures, returned seats or restarted the queue.
            self._sold, self._capacity = _before(entry)
            self._last_deciding = None
            self._smallest_refused = None
        if (entry.kind == "opened") != (entry.entry_number == 1):
            what = f"the first entry is `{entry.kind}`" if entry.entry_number == 1 else "it opens the event once more"
            self._add("opened", f"{what}; an event is opened by its first entry and only there", entry)

    def _check_hash(self, entry: Entry) -> None:
        previous = self._previous
        if hashlib.sha256(canonical(entry)).digest() != entry.hash:
            self._add("chain", "its hash is not that of its content: the row was changed", entry)
        if previous is None:
            if entry.entry_number == 1 and entry.prev_hash != _GENESIS:
                self._add("chain", "its prev_hash is not the 32 zero bytes that begin a chain", entry)
        elif entry.entry_number == previous.entry_number + 1 and entry.prev_hash != previous.hash:
            self._add("chain", f"its prev_hash is not the hash of entry {previous.entry_number}", entry)

    def _check_figures(self, entry: Entry) -> None:
        sold, capacity = self._sold, self._capacity
        after = _after(entry, sold, capacity)
        said = (entry.sold_after, entry.capacity_after)
        if after is None:
            self._add("figures", "it does not say how many seats it moves", entry)
        elif said != after:
            # Held against what the entry before says of itself, one wrong row is one finding.
            previous = self._previous
            told = _after(entry, previous.sold_after, previous.capacity_after) if previous is not None else after
            if said != told:
                self._add("figures", f"it says {_figures(said)} where replaying gives {_figures(after)}", entry)
            else:
                after = said
        self._sold, self._capacity = after if after is not None else said
        if entry.sold_after > entry.capacity_after:
            self._add("oversold", f"oversold: {_figures(said)}", entry)

    def _check_order(self, entry: Entry) -> None:
        if entry.kind == "queue_restarted":
            self._last_deciding = None
        if entry.kind not in _DECIDING or entry.queue_number is None:
            return
        last = self._last_deciding
        if last is not None and entry.queue_number <= (last.queue_number or 0):
            self._add(
                "order",
                f"it decided queue number {entry.queue_number} after entry {last.entry_number} had decided "
                f"{last.queue_number}",
                entry,
            )
        self._last_deciding = entry
        highest = self._highest_queue_number
        if highest is None or entry.queue_number > (highest.queue_number or 0):
            self._highest_queue_number = entry

    def _check_seats_offered(self, entry: Entry) -> None:
        previous = self._previous
        if previous is not None and (
            (entry.kind == "cancelled" and entry.booking_id is not None)
            or (entry.kind == "capacity_changed" and entry.capacity_after > previous.capacity_after)
        ):
            self._smallest_refused = None
        elif entry.kind == "confirmed":
            self._check_confirmed(entry)
        elif entry.kind == "rejected" and entry.reason == "sold_out":
            self._check_sold_out(entry)

    def _check_confirmed(self, entry: Entry) -> None:
        refused = self._smallest_refused
        if refused is not None and (entry.quantity or 0) >= (refused.quantity or 0):
            self._add(
                "unfair",
                f"it confirmed {_seats(entry.quantity or 0)} although entry {refused.entry_number} had refused "
                f"{refused.quantity} as sold out and no seat came back between",
                entry,
            )

    def _check_sold_out(self, entry: Entry) -> None:
        if entry.quantity is None:
            self._add("undersold", "it refused a job as sold out without saying for how many seats", entry)
            return
        free = entry.capacity_after - entry.sold_after
        if free >= entry.quantity:
            were = "was" if free == 1 else "were"
            sentence = f"undersold: it refused {_seats(entry.quantity)} as sold out while {free} {were} free"
            self._add("undersold", sentence, entry)
        smallest = self._smallest_refused
        if smallest is None or entry.quantity < (smallest.quantity or 0):
            self._smallest_refused = entry


def _after(entry: Entry, sold: int, capacity: int) -> tuple[int, int] | None:
    """What sold and capacity must be after the entry; None when it does not say by how much they change."""
    match entry.kind:
        case "opened":
            return 0, entry.capacity_after
        case "confirmed":
            return None if entry.quantity is None else (sold + entry.quantity, capacity)
        case "cancelled" if entry.booking_id is not None:
            return None if entry.quantity is None else (sold - entry.quantity, capacity)
        case "capacity_changed":
            return sold, entry.capacity_after
        case _:
            return sold, capacity


def _before(entry: Entry) -> tuple[int, int]:
    """What sold and capacity were before an entry that is taken at its word."""
    moved = 0
    if entry.kind == "confirmed":
        moved = entry.quantity or 0
    elif entry.kind == "cancelled" and entry.booking_id is not None:
        moved = -(entry.quantity or 0)
    return entry.sold_after - moved, entry.capacity_after


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _figures(figures: tuple[int, int]) -> str:
    return f"{figures[0]} sold of {figures[1]}"


def _seats(quantity: int) -> str:
    return "1 seat" if quantity == 1 else f"{quantity} seats"
