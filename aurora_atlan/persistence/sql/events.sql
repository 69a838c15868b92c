-- name: create_event
INSERT INTO events (name, venue, time) VALUES (:name, :venue, :time) RETURNING id, created_at

-- name: create_inventory!
-- The row that sales lock; its first ledger entry is written in the same transaction.
INSERT INTO event_inventory (event_id, capacity, cap_per_user, opens_at, closes_at)
VALUES (:event_id, :capacity, :cap_per_user, :opens_at, :closes_at)

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
