-- name: add!
-- Add counted page views, in id order, so that two processes flushing at once cannot deadlock.
INSERT INTO event_impressions (event_id, impressions)
SELECT event_id, views
FROM unnest(:event_ids::bigint[], :views::bigint[]) AS counted (event_id, views)
ORDER BY event_id
ON CONFLICT (event_id) DO UPDATE
SET impressions = event_impressions.impressions + excluded.impressions;
