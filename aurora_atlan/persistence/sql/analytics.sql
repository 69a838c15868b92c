-- name: figures
-- The sums over all events that are not gone, beside each of those that sold most. No index has sold in it: every
-- booking would have to change it.
WITH sale AS MATERIALIZED (
    SELECT event_id, capacity, sold, bookings, cap_per_user, opens_at, closes_at FROM event_inventory WHERE NOT gone
), total AS (
    SELECT coalesce(sum(bookings), 0) AS bookings, coalesce(sum(capacity), 0) AS capacity, coalesce(sum(sold), 0) AS sold
      FROM sale
), popular AS (
    SELECT * FROM sale ORDER BY sold DESC, event_id LIMIT :limit
)
SELECT total.bookings, total.capacity, total.sold,
       event.id, event.name, event.venue, event.time, popular.capacity, popular.sold,
       coalesce(viewed.impressions, 0), event.version, popular.cap_per_user, popular.opens_at,
       popular.closes_at, event.created_at, event.updated_at
  FROM total
  LEFT JOIN (popular JOIN events AS event ON event.id = popular.event_id
             LEFT JOIN event_impressions AS viewed ON viewed.event_id = popular.event_id) ON true
 ORDER BY popular.sold DESC, event.id
