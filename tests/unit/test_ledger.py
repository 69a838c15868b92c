"""The ledger's canonical bytes and chain, held against bytes made apart from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_atlan.persistence.inventory import Change, Draft, _chained
from aurora_atlan.persistence.ledger import GENESIS, LedgerEntry, canonical, entry_hash
from aurora_atlan.persistence.records import Kind, Reason
from booking_fakes import NOW, an_inventory, job_id_of
from ledger_story import COLUMNS, seal

_IDS = st.integers(1, 2**63 - 1)
_COUNTS = st.integers(0, 2**31 - 1)
_ZONES = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-14 * 60, 14 * 60))
_TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=_ZONES)  # noqa: DTZ001


def _optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


_ENTRIES = st.builds(
    LedgerEntry,
    event_id=_IDS,
    entry_number=_IDS,
    kind=st.sampled_from(Kind),
    job_id=_optional(st.uuids()),
    booking_id=_optional(_IDS),
    user_id=_optional(_IDS),
    quantity=_optional(_COUNTS),
    reason=_optional(st.sampled_from(Reason)),
    queue_number=_optional(_IDS),
    accepted_at=_optional(_TIMES),
    sold_after=_COUNTS,
    capacity_after=_COUNTS,
    at=_TIMES,
    prev_hash=st.binary(min_size=32, max_size=32),
    hash=st.just(b""),
)


def _entry(**changes: Any) -> LedgerEntry:
    entry = LedgerEntry(
        event_id=1,
        entry_number=2,
        kind="confirmed",
        job_id=UUID("00000000-0000-4001-8000-00000000000A"),
        booking_id=1001,
        user_id=41,
        quantity=1,
        reason=None,
        queue_number=1,
        accepted_at=datetime(2026, 11, 22, 19, 26, 28, 123456, tzinfo=UTC),
        sold_after=1,
        capacity_after=2,
        at=datetime(2026, 11, 22, 20, 26, 28, tzinfo=timezone(timedelta(hours=1))),
        prev_hash=bytes.fromhex("1a" * 32),
        hash=b"",
    )
    return replace(entry, **changes)


def _row(entry: LedgerEntry) -> dict[str, Any]:
    """Write the entry's columns as text by other means than the code does."""
    row = {column: getattr(entry, column) for column in COLUMNS}
    for column in ("at", "accepted_at"):
        if row[column] is not None:
            row[column] = row[column].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    row["job_id"] = None if entry.job_id is None else str(entry.job_id)
    return row


def test_the_bytes_are_those_that_are_documented() -> None:
    """One compact array: lower-case ids, UTC with six digits and Z, hex hashes, null for what is absent."""
    assert canonical(_entry()) == (
        b'[1,2,"confirmed","00000000-0000-4001-8000-00000000000a",1001,41,1,null,1,"2026-11-22T19:26:28.123456Z",'
        b'1,2,"2026-11-22T19:26:28.000000Z","' + b"1a" * 32 + b'"]'
    )


@given(_ENTRIES)
def test_a_verifier_written_with_the_standard_library_agrees(entry: LedgerEntry) -> None:
    """The standard json and hashlib come to the same hash for any entry."""
    assert entry_hash(entry) == seal(_row(entry))


@given(_ENTRIES, st.sampled_from(COLUMNS))
def test_every_column_but_the_hash_itself_is_hashed(entry: LedgerEntry, column: str) -> None:
    """A change of any column changes the hash."""
    value = getattr(entry, column)
    match value:
        case datetime():
            other: Any = value + timedelta(microseconds=1)
        case UUID():
            other = UUID(int=value.int ^ 1)
        case bytes():
            other = bytes([*value[:-1], value[-1] ^ 1]) if value else b"\1"
        case str():
            other = value + "x"
        case None:
            other = NOW if column == "accepted_at" else 5
        case _:
            other = value + 1

    changed = entry_hash(replace(entry, **{column: other}))

    assert (changed == entry_hash(entry)) == (column == "hash")


def test_the_zone_of_a_time_does_not_matter() -> None:
    """The same instant has the same bytes, wherever the session that reads it stands."""
    here = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    there = here.astimezone(timezone(timedelta(hours=5, minutes=45)))

    assert canonical(_entry(at=here, accepted_at=here)) == canonical(_entry(at=there, accepted_at=there))


def test_a_chain_begins_with_zeros_and_each_entry_holds_the_hash_before_it() -> None:
    """Entries are numbered from the row's last one without gap and linked to its head."""
    drafts = [Draft(Kind.OPENED, 0, 10), Draft(Kind.CAPACITY_CHANGED, 0, 12), Draft(Kind.CAPACITY_CHANGED, 0, 9)]
    row = an_inventory(last_entry=0, ledger_head=GENESIS)

    chain = _chained(Change(row, drafts), NOW)

    assert [entry.entry_number for entry in chain] == [1, 2, 3]
    assert [entry.prev_hash for entry in chain] == [bytes(32), chain[0].hash, chain[1].hash]
    assert all(entry.hash == hashlib.sha256(canonical(entry)).digest() for entry in chain)
    assert all(entry.at == NOW for entry in chain)


def test_a_chain_goes_on_where_the_row_stands() -> None:
    """The first new entry follows the row's last one."""
    row = an_inventory(last_entry=41, ledger_head=b"h" * 32)

    [entry] = _chained(Change(row, [Draft(Kind.CANCELLED, 3, 10, job_id=job_id_of(1))]), NOW)

    assert (entry.entry_number, entry.prev_hash) == (42, b"h" * 32)
    assert json.loads(canonical(entry))[3] == str(job_id_of(1))


@pytest.mark.parametrize("kind", Kind)
def test_words_need_no_escape(kind: Kind) -> None:
    """Kinds and reasons are plain lower-case words, as verifiers are promised."""
    for word in (kind, *Reason):
        assert word.replace("_", "").isalpha()
        assert word == word.lower()
        assert word.isascii()
