"""The ledger's replay: each promise broken on purpose, and found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from aurora_atlan.persistence.audit_findings import Findings
from aurora_atlan.persistence.audit_rules import Counters, Entry, LedgerReplay
from ledger_story import COLUMNS, LedgerStory, Row, busy_story, reseal, seal

_Tampering = Callable[[LedgerStory], object]


def replay(story: LedgerStory, counters: Row | None = None) -> Findings:
    findings = Findings(story.event_id)
    ledger = LedgerReplay(findings)
    for row in story.entries:
        ledger.feed(Entry(*(row[name] for name in COLUMNS)))
    said = story.counters() if counters is None else counters
    ledger.finish(Counters(**{name: said[name] for name in Counters._fields}))
    return findings


def sentences(story: LedgerStory, counters: Row | None = None) -> list[str]:
    return [violation.sentence for violation in replay(story, counters).kept]


def test_a_busy_but_honest_ledger_has_no_violation() -> None:
    assert sentences(busy_story()) == []


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("event_id", "entry_number", "prev_hash")])
def test_a_change_of_any_column_is_found_and_names_the_entry(column: str) -> None:
    story = busy_story()
    counters = story.counters()
    row = story.entries[4]
    match row[column]:
        case bytes(value):
            row[column] = bytes(byte ^ 1 for byte in value)
        case int(value):
            row[column] = value + 1
        case str(value):
            row[column] = value + "x"
        case None:
            row[column] = 1

    found = replay(story, counters).kept

    assert (found[0].rule, found[0].entry_number) == ("chain", 5)
    assert found[0].sentence == "event 7, entry 5: its hash is not that of its content: the row was changed"
    assert {violation.entry_number for violation in found} <= {5, 6}


def test_one_changed_figure_is_reported_at_its_own_entry_only() -> None:
    story = busy_story()
    story.entries[5]["sold_after"] -= 1

    found = replay(story).kept

    assert {violation.entry_number for violation in found} == {6}


def test_a_missing_entry_is_named_by_its_neighbours() -> None:
    story = busy_story()
    counters = story.counters()
    del story.entries[4]

    assert sentences(story, counters) == ["event 7, entry 6: entry 5 is missing before it, after entry 4"]


def test_missing_first_entries_are_named_by_the_first_that_is_left() -> None:
    story = busy_story()
    counters = story.counters()
    del story.entries[:3]

    assert sentences(story, counters) == ["event 7, entry 4: entries 1 to 3 are missing before it"]


def test_missing_last_entries_are_named_by_the_last_that_is_left() -> None:
    story = busy_story()
    counters = story.counters()
    del story.entries[-2:]

    expected = "event 7, entry 15: entries 16 to 17 are missing after it; the counter last_entry says 17"
    assert sentences(story, counters) == [expected]


def test_an_empty_ledger_is_a_violation() -> None:
    story = busy_story()
    counters = story.counters()
    story.entries.clear()

    assert sentences(story, counters) == ["event 7: its ledger is empty; the counter last_entry says 17"]


def _quantity(story: LedgerStory) -> None:
    story.entries[1]["quantity"] = 2


def _missing_quantity(story: LedgerStory) -> None:
    story.entries[1]["quantity"] = None


def _oversold(story: LedgerStory) -> None:
    story.confirmed(20, user_id=20, quantity=2)
    story.entries[-1]["capacity_after"] = story.capacity


def _not_opened(story: LedgerStory) -> None:
    story.entries[0]["kind"] = "capacity_changed"


def _opened_again(story: LedgerStory) -> None:
    story.add("opened", sold_after=0)


def _queue_jumped(story: LedgerStory) -> None:
    story.rejected(6, reason="event_closed")


def _withheld(story: LedgerStory) -> None:
    story.entries[3] |= {"reason": "sold_out"}


def _withheld_unknown(story: LedgerStory) -> None:
    story.entries[-1] |= {"reason": "sold_out", "quantity": None}


def _unfair(story: LedgerStory) -> None:
    story.capacity = 2
    story.entries[:] = story.entries[:1]
    story.entries[0]["capacity_after"] = 2
    story.rejected(1, quantity=3)
    story.confirmed(2, quantity=3)


def _seats_moved_by_a_refusal(story: LedgerStory) -> None:
    story.sold -= 1
    story.rejected(30, reason="event_closed")


def _withdrawal_that_returns_seats(story: LedgerStory) -> None:
    story.sold -= 1
    story.add("cancelled", job_id="0", user_id=1, quantity=1)


@pytest.mark.parametrize(
    ("tampering", "rule", "expected"),
    [
        (_quantity, "figures", "entry 2: it says 1 sold of 3 where replaying gives 2 sold of 3"),
        (_missing_quantity, "figures", "entry 2: it does not say how many seats it moves"),
        (_oversold, "oversold", "entry 18: oversold: 7 sold of 5"),
        (_not_opened, "opened", "entry 1: the first entry is `capacity_changed`; an event is opened by its first"),
        (_opened_again, "opened", "entry 18: it opens the event once more"),
        (_queue_jumped, "order", "entry 18: it decided queue number 6 after entry 16 had decided 8"),
        (_withheld, "undersold", "entry 4: undersold: it refused 1 seat as sold out while 1 was free"),
        (_withheld_unknown, "undersold", "entry 17: it refused a job as sold out without saying for how many seats"),
        (_unfair, "unfair", "entry 3: it confirmed 3 seats although entry 2 had refused 3 as sold out and no seat"),
        (_seats_moved_by_a_refusal, "figures", "entry 18: it says 4 sold of 5 where replaying gives 5 sold of 5"),
        (_withdrawal_that_returns_seats, "figures", "entry 18: it says 4 sold of 5 where replaying gives 5"),
    ],
)
def test_a_broken_promise_is_found_even_when_the_whole_chain_was_rebuilt(
    tampering: _Tampering, rule: str, expected: str
) -> None:
    story = busy_story()
    tampering(story)
    reseal(story.entries)

    found = replay(story).kept

    assert "chain" not in {violation.rule for violation in found}
    assert any(
        violation.rule == rule and violation.sentence.startswith(f"event 7, {expected}") for violation in found
    ), found


@pytest.mark.parametrize(
    ("counter", "value", "expected"),
    [
        ("sold", 4, "entry 17: it leaves sold at 5, but the counter sold says 4"),
        ("capacity", 9, "entry 17: it leaves capacity at 5, but the counter capacity says 9"),
        ("ledger_head", bytes(32), "entry 17: it is the last, but the counter ledger_head is not its hash"),
        ("last_entry", 16, "entry 17: it lies beyond the counter last_entry, which says 16"),
        (
            "last_queue_number",
            10,
            "entry 13: it decided queue number 11, but the counter last_queue_number says 10",
        ),
    ],
)
def test_a_counter_that_disagrees_is_named(counter: str, value: object, expected: str) -> None:
    story = busy_story()

    assert sentences(story, story.counters() | {counter: value}) == [f"event 7, {expected}"]


def test_a_broken_link_is_found_where_a_chain_was_spliced() -> None:
    story = busy_story()
    tail = story.entries[5:]
    tail[0]["prev_hash"] = bytes(32)
    for before, row in zip([None, *tail], tail, strict=False):
        if before is not None:
            row["prev_hash"] = before["hash"]
        row["hash"] = seal(row)

    assert "event 7, entry 6: its prev_hash is not the hash of entry 5" in sentences(story)


def test_the_chain_begins_with_32_zero_bytes() -> None:
    story = LedgerStory()
    story.entries[0]["prev_hash"] = b"\x01" * 32
    story.entries[0]["hash"] = seal(story.entries[0])

    expected = "event 7, entry 1: its prev_hash is not the 32 zero bytes that begin a chain"
    assert sentences(story) == [expected]


def test_seats_that_came_back_allow_a_confirmation_after_a_refusal() -> None:
    story = LedgerStory(capacity=1)
    booked = story.confirmed(1)
    story.rejected(2)
    story.cancelled(booked["booking_id"])
    story.confirmed(3)

    assert sentences(story) == []


def test_a_smaller_quantity_may_be_confirmed_after_a_larger_one_was_refused() -> None:
    story = LedgerStory(capacity=3)
    story.rejected(1, quantity=4)
    story.confirmed(2, quantity=3)

    assert sentences(story) == []


def test_all_violations_are_counted_and_the_first_of_each_rule_kept() -> None:
    story = LedgerStory(capacity=500)
    for number in range(1, 301):
        story.confirmed(number)
        story.entries[-1]["hash"] = bytes(32)

    findings = replay(story)

    assert Counter(violation.rule for violation in findings.kept) == {"chain": 20}
    assert findings.found >= 300
