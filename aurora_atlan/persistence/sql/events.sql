-- name: create_event
INSERT INTO events (name, venue, time) VALUES (:name, :venue, :time) RETURNING id, created_at

-- name: create_inventory!
-- The row that sales lock; its first ledger entry is written in the same transaction.
INSERT INTO event_inventory (event_id, capacity, cap_per_user, opens_at, closes_at)
VALUES (:event_id, :capacity, :cap_per_user, :opens_at, :closes_at)

-- name: revise_event!
-- What is shown of an event, as its next version.
UPDATE events SET name = :name, venue = :venue, time = :time, version = version + 1, updated_at = :at WHERE id = :event_id

-- name: set_terms!
-- The terms of a sale, whose row is locked: its window, and how many bookings one user may hold.
UPDATE event_inventory SET cap_per_user = :cap_per_user, opens_at = :opens_at, closes_at = :closes_at
 WHERE event_id = :event_id

-- name: seats
-- How many tickets an event that is not gone has, and how many are sold.
SELECT capacity, sold FROM event_inventory WHERE event_id = :event_id AND NOT gone

-- name: event
SELECT event.id, event.name, event.venue, event.time, inventory.capacity, inventory.sold,
       coalesce(viewed.impressions, 0), event.version, inventory.cap_per_user, inventory.opens_at,
       inventory.closes_at, event.created_at, event.updated_at
  FROM events AS event
  JOIN event_inventory AS inventory ON inventory.event_id = event.id
  LEFT JOIN event_impressions AS viewed ON viewed.event_id = event.id
 WHERE event.id = :event_id AND NOT inventory.gone

-- name: page_of_events
SELECT event.id, event.name, event.venue, event.time, inventory.capacity, inventory.sold,
       coalesce(viewed.impressions, 0), event.version, inventory.cap_per_user, inventory.opens_at,
       inventory.closes_at, event.created_at, event.updated_at
  FROM events AS event
  JOIN event_inventory AS inventory ON inventory.event_id = event.id
  LEFT JOIN event_impressions AS viewed ON viewed.event_id = event.id
 WHERE event.id > :after_id AND NOT inventory.gone
 ORDER BY event.id
 LIMIT :limit

-- name: page_of_matching_events
-- A parameter that is NULL makes no condition.
SELECT event.id, event.name, event.venue, event.time, inventory.capacity, inventory.sold,
       coalesce(viewed.impressions, 0), event.version, inventory.cap_per_user, inventory.opens_at,
       inventory.closes_at, event.created_at, event.updated_at
  FROM events AS event
  JOIN event_inventory AS inventory ON inventory.event_id = event.id
  LEFT JOIN event_impressions AS viewed ON viewed.event_id = event.id
 WHERE event.id > :after_id AND NOT inventory.gone
   AND (:text::text IS NULL
        OR strpos(lower(event.name), lower(:text)) > 0 OR strpos(lower(event.venue), lower(:text)) > 0)
   AND event.time >= coalesce(:from_time::timestamptz, '-infinity')
   AND event.time < coalesce(:to_time::timestamptz, 'infinity')
 ORDER BY event.id
 LIMIT :limit
