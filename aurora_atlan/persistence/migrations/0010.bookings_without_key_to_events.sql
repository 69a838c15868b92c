-- The event of a booking is known to be there: the transaction that writes it holds the event's inventory row, which
-- refers to the event. Asking once more for each booking cost as much as all its indexes, and with a plan from the time
-- when there were few events a look at every one of them.
-- depends: 0009.webhooks

-- Both tables in the order in which new events lock them; and a reader that takes long shall not hold up the sale.
SET LOCAL lock_timeout = '5s';
LOCK TABLE events, bookings IN ACCESS EXCLUSIVE MODE;

ALTER TABLE bookings DROP CONSTRAINT bookings_event_id_fkey;
