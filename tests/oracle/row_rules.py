"""The promises that rows alone can break: each function selects what must not exist, and says it in sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import LiteralString

from oracle.ledger_rows import Snapshot
from oracle.violation import Violation, examples

_SOLD_AND_BOOKED = """
    SELECT event_id, sold, capacity, coalesce(booked.seats, 0) AS booked
      FROM event_inventory
      LEFT JOIN (SELECT event_id, sum(quantity) AS seats FROM bookings
                  WHERE status = 'confirmed' GROUP BY event_id) AS booked USING (event_id)
     WHERE sold > capacity OR sold <> coalesce(booked.seats, 0) OR coalesce(booked.seats, 0) > capacity
     ORDER BY event_id"""

_LAST_ENTRY_DISAGREES = """
    SELECT event_id, sold, capacity, entry_number, sold_after, capacity_after
      FROM event_inventory
      JOIN LATERAL (SELECT entry_number, sold_after, capacity_after FROM booking_ledger AS entry
                     WHERE entry.event_id = event_inventory.event_id
                     ORDER BY entry_number DESC LIMIT 1) AS newest ON true
     WHERE sold <> sold_after OR capacity <> capacity_after
     ORDER BY event_id"""

_OVER_THE_CAP = """
    SELECT event_id, user_id, count(*) AS held, cap_per_user
      FROM bookings JOIN event_inventory USING (event_id)
     WHERE status = 'confirmed'
     GROUP BY event_id, user_id, cap_per_user HAVING count(*) > cap_per_user
     ORDER BY event_id, user_id"""

_WRONG_SUM = """
    SELECT event_id, entry_number, kind, quantity, sold_after, capacity_after, sold_before, capacity_before
      FROM (SELECT event_id, entry_number, kind, quantity, booking_id, sold_after, capacity_after,
                   lag(sold_after, 1, 0) OVER before AS sold_before,
                   lag(capacity_after, 1, capacity_after) OVER before AS capacity_before
              FROM booking_ledger
            WINDOW before AS (PARTITION BY event_id ORDER BY entry_number)) AS entry
     WHERE sold_after <> sold_before + CASE WHEN kind = 'confirmed' THEN quantity
                                            WHEN kind = 'cancelled' AND booking_id IS NOT NULL THEN -quantity
                                            ELSE 0 END
        OR (capacity_after <> capacity_before AND kind NOT IN ('opened', 'capacity_changed'))
        OR sold_after > capacity_after
     ORDER BY event_id, entry_number"""

_TWO_OUTCOMES = """
    SELECT job_id, count(*) AS outcomes, array_agg(kind ORDER BY entry_number) AS kinds
      FROM booking_ledger WHERE job_id IS NOT NULL
     GROUP BY job_id HAVING count(*) > 1 ORDER BY job_id"""

_TWO_BOOKINGS = """
    SELECT job_id, array_agg(id ORDER BY id) AS bookings
      FROM bookings GROUP BY job_id HAVING count(*) > 1 ORDER BY job_id"""

_NO_BOOKING = """
    SELECT event_id, entry_number, job_id, booking_id FROM booking_ledger AS entry
     WHERE kind = 'confirmed' AND NOT EXISTS (
           SELECT FROM bookings AS booking
            WHERE booking.id = entry.booking_id AND booking.job_id = entry.job_id
              AND booking.event_id = entry.event_id AND booking.user_id = entry.user_id
              AND booking.quantity = entry.quantity)
     ORDER BY event_id, entry_number"""

_NO_ENTRY = """
    SELECT id, job_id, event_id FROM bookings AS booking
     WHERE NOT EXISTS (SELECT FROM booking_ledger AS entry
                        WHERE entry.booking_id = booking.id AND entry.kind = 'confirmed')
     ORDER BY id"""

_CANCELLED_OTHERWISE = """
    SELECT booking.id, booking.status, count(entry.booking_id) AS cancellations
      FROM bookings AS booking
      LEFT JOIN booking_ledger AS entry ON entry.booking_id = booking.id AND entry.kind = 'cancelled'
     GROUP BY booking.id HAVING count(entry.booking_id) <> CASE booking.status WHEN 'cancelled' THEN 1 ELSE 0 END
     ORDER BY booking.id"""

_GAPS = """
    SELECT event_id, count(*) AS entries, count(DISTINCT entry_number) AS numbers,
           min(entry_number) AS lowest, max(entry_number) AS highest, last_entry
      FROM booking_ledger JOIN event_inventory USING (event_id)
     GROUP BY event_id, last_entry
    HAVING count(*) <> max(entry_number) OR count(DISTINCT entry_number) <> max(entry_number)
        OR min(entry_number) <> 1 OR max(entry_number) <> last_entry
     ORDER BY event_id"""

_BROKEN_CHAIN = """
    SELECT event_id, entry_number
      FROM (SELECT event_id, entry_number, prev_hash,
                   lag(hash, 1, decode(repeat('00', 32), 'hex'))
                       OVER (PARTITION BY event_id ORDER BY entry_number) AS before
              FROM booking_ledger) AS entry
     WHERE prev_hash <> before
     ORDER BY event_id, entry_number"""

# Withdrawals (cancelled, with a job) and degraded bookings (without a number) take no turn.
_OVERTAKEN = """
    SELECT event_id, entry_number, job_id, queue_number, number_before
      FROM (SELECT *, max(queue_number) OVER (PARTITION BY event_id, era ORDER BY entry_number
                                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS number_before
              FROM (SELECT *, count(*) FILTER (WHERE kind = 'queue_restarted')
                              OVER (PARTITION BY event_id ORDER BY entry_number) AS era
                      FROM booking_ledger) AS entry
             WHERE kind IN ('confirmed', 'rejected', 'failed') AND queue_number IS NOT NULL) AS decided
     WHERE queue_number <= number_before
     ORDER BY event_id, entry_number"""

_LAST_NUMBER_FELL = """
    SELECT event_id, last_queue_number, max(queue_number) AS decided
      FROM booking_ledger JOIN event_inventory USING (event_id)
     WHERE kind IN ('confirmed', 'rejected', 'failed')
     GROUP BY event_id, last_queue_number HAVING max(queue_number) > last_queue_number
     ORDER BY event_id"""

_CONFIRMED_AFTER_SOLD_OUT = """
    SELECT event_id, entry_number, job_id, quantity, refused
      FROM (SELECT *, min(quantity) FILTER (WHERE reason = 'sold_out')
                      OVER (PARTITION BY event_id, seats_came_back ORDER BY entry_number) AS refused
              FROM (SELECT *, count(*) FILTER (WHERE gave_seats) OVER (PARTITION BY event_id ORDER BY entry_number)
                              AS seats_came_back
                      FROM (SELECT *, (kind = 'cancelled' AND booking_id IS NOT NULL)
                                      OR capacity_after > lag(capacity_after, 1, capacity_after)
                                         OVER (PARTITION BY event_id ORDER BY entry_number) AS gave_seats
                              FROM booking_ledger) AS entry) AS stretch) AS decided
     WHERE kind = 'confirmed' AND quantity >= refused
     ORDER BY event_id, entry_number"""

_RESTARTS = """
    SELECT event_id, count(*) AS restarts, min(entry_number) AS first
      FROM booking_ledger WHERE kind = 'queue_restarted' GROUP BY event_id ORDER BY event_id"""

_FAILED = """
    SELECT event_id, entry_number, job_id, user_id, reason FROM booking_ledger
     WHERE kind = 'failed' AND (user_id IS NULL OR NOT user_id = ANY(%(poisoned)s))
     ORDER BY event_id, entry_number"""

_REFUSED_TOO_EARLY = """
    SELECT event_id, entry_number, job_id, quantity, capacity_after - sold_after AS free FROM booking_ledger
     WHERE reason = 'sold_out' AND capacity_after - sold_after >= quantity
     ORDER BY event_id, entry_number"""

# Of events where every ticket was asked for alone and nothing ever came back.
_SEATS_LEFT = """
    SELECT event_id, capacity, wanted, booked
      FROM (SELECT event_id, count(*) FILTER (WHERE kind = 'confirmed' OR reason = 'sold_out') AS wanted
              FROM booking_ledger
             GROUP BY event_id
            HAVING NOT bool_or(kind = 'capacity_changed' OR (kind = 'cancelled' AND booking_id IS NOT NULL))
               AND coalesce(max(quantity) FILTER (WHERE job_id IS NOT NULL), 1) = 1) AS demand
      JOIN event_inventory USING (event_id)
      JOIN LATERAL (SELECT coalesce(sum(quantity), 0) AS booked FROM bookings
                     WHERE bookings.event_id = event_inventory.event_id AND status = 'confirmed') AS bookings ON true
     WHERE wanted >= capacity AND booked <> capacity
     ORDER BY event_id"""

_UNTOLD_NOTHING = """
    SELECT event_id, entry_number FROM outbox
     WHERE NOT EXISTS (SELECT FROM booking_ledger AS entry
                        WHERE entry.event_id = outbox.event_id AND entry.entry_number = outbox.entry_number
                          AND kind IN ('confirmed', 'rejected', 'failed', 'cancelled'))
     ORDER BY event_id, entry_number"""


def seats_add_up(rows: Snapshot) -> Iterator[Violation]:
    """I1 at this moment: booked seats = sold <= capacity, and the ledger's newest entry says the same."""
    yield from _selected(
        rows, "I1", "event {event_id}: {booked} seats are booked, sold is {sold}, the capacity {capacity}",
        _SOLD_AND_BOOKED,
    )  # fmt: skip
    yield from _selected(
        rows,
        "I1",
        "event {event_id}: sold {sold} of {capacity}, but entry {entry_number} says {sold_after} of {capacity_after}",
        _LAST_ENTRY_DISAGREES,
    )
    yield from _selected(
        rows, "I1", "event {event_id}: user {user_id} holds {held} bookings, the cap is {cap_per_user}", _OVER_THE_CAP
    )


def seats_always_added_up(rows: Snapshot) -> Iterator[Violation]:
    """I1 at every moment before: each entry follows from the one ahead of it."""
    yield from _selected(
        rows,
        "I1",
        "event {event_id}, entry {entry_number} ({kind} of {quantity}): from {sold_before} of {capacity_before}"
        " to {sold_after} of {capacity_after}",
        _WRONG_SUM,
    )


def one_outcome_per_job(rows: Snapshot) -> Iterator[Violation]:
    """I2: no job was answered twice."""
    yield from _selected(rows, "I2", "job {job_id} has {outcomes} outcomes: {kinds}", _TWO_OUTCOMES)


def one_booking_per_job(rows: Snapshot) -> Iterator[Violation]:
    """I3: bookings and confirmations are each other's, one to one, and so are cancellations."""
    yield from _selected(rows, "I3", "job {job_id} has several bookings: {bookings}", _TWO_BOOKINGS)
    yield from _selected(
        rows,
        "I3",
        "event {event_id}, entry {entry_number}: job {job_id} is confirmed, but there is no such booking {booking_id}",
        _NO_BOOKING,
    )
    yield from _selected(
        rows, "I3", "booking {id} of job {job_id}, event {event_id}, has no entry that confirms it", _NO_ENTRY
    )
    yield from _selected(
        rows, "I3", "booking {id} is {status}, and was cancelled {cancellations} times", _CANCELLED_OTHERWISE
    )


def decided_in_order(rows: Snapshot) -> Iterator[Violation]:
    """I5: numbers of entries without gap, queue numbers rising between two restarts, nobody served past a refusal."""
    yield from _selected(
        rows,
        "I5",
        "event {event_id}: {entries} entries with {numbers} numbers from {lowest} to {highest}, last is {last_entry}",
        _GAPS,
    )
    yield from _selected(
        rows, "I5", "event {event_id}: entry {entry_number} does not continue the one before it", _BROKEN_CHAIN
    )
    yield from _selected(
        rows,
        "I5",
        "event {event_id}, entry {entry_number}: job {job_id} has number {queue_number} and was decided"
        " after number {number_before}",
        _OVERTAKEN,
    )
    yield from _selected(
        rows,
        "I5",
        "event {event_id}: number {decided} is decided, but the last decided number is said to be {last_queue_number}",
        _LAST_NUMBER_FELL,
    )
    yield from _selected(
        rows,
        "I5",
        "event {event_id}, entry {entry_number}: job {job_id} got {quantity} tickets after {refused} were refused"
        " as sold out, and no seats had come back",
        _CONFIRMED_AFTER_SOLD_OUT,
    )


def never_restarted(rows: Snapshot) -> Iterator[Violation]:
    """I5, where Redis kept its memory: no queue began anew."""
    yield from _selected(
        rows, "I5", "event {event_id}: its order began anew {restarts} times, first at entry {first}", _RESTARTS
    )


def only_the_poisoned_failed(rows: Snapshot, poisoned_users: Collection[int]) -> Iterator[Violation]:
    """I7: nothing is a dead letter but what was poisoned."""
    sentences = (
        f"event {row['event_id']}, entry {row['entry_number']}: job {row['job_id']} of user {row['user_id']}"
        f" failed as {row['reason']}"
        for row in rows.rows(_FAILED, {"poisoned": list(poisoned_users)})
    )
    yield from examples("I7", sentences)


def outbox_points_to_outcomes(rows: Snapshot) -> Iterator[Violation]:
    """I8: nothing waits to be told that is no outcome."""
    yield from _selected(
        rows, "I8", "the outbox holds entry {entry_number} of event {event_id}, which is no outcome", _UNTOLD_NOTHING
    )


def nothing_left_unsold(rows: Snapshot) -> Iterator[Violation]:
    """I11: nobody was refused a seat that was there."""
    yield from _selected(
        rows,
        "I11",
        "event {event_id}, entry {entry_number}: job {job_id} was refused {quantity} tickets as sold out"
        " while {free} were free",
        _REFUSED_TOO_EARLY,
    )
    yield from _selected(
        rows, "I11", "event {event_id}: {wanted} wanted one of {capacity} seats, {booked} are booked", _SEATS_LEFT
    )


def _selected(rows: Snapshot, invariant: str, sentence: str, query: LiteralString) -> Iterator[Violation]:
    yield from examples(invariant, (sentence.format(**row) for row in rows.rows(query)))
