-- How many bookings of an event are confirmed, beside how many tickets they hold: reports need not count rows.
-- depends: 0006.privileges

-- Waits for transactions that book and keeps out new ones until the counters are filled.
ALTER TABLE event_inventory ADD COLUMN bookings integer NOT NULL DEFAULT 0 CHECK (bookings >= 0);

UPDATE event_inventory AS inventory
   SET bookings = confirmed.bookings
  FROM (SELECT event_id, count(*) AS bookings FROM bookings WHERE status = 'confirmed' GROUP BY event_id) AS confirmed
 WHERE inventory.event_id = confirmed.event_id;
