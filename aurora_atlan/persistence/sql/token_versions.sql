-- name: changed
-- The present time, and whose token version was raised from some seconds before an earlier time on. A clock that
-- was put back meanwhile hides nothing. New accounts have no token of another version, so they are left out.
SELECT clock.now, changed.id, changed.token_version
  FROM (SELECT now() AS now) AS clock
  LEFT JOIN users AS changed
    ON changed.token_changed_at > LEAST(:since::timestamptz, now()) - make_interval(secs => :look_back_s)
   AND changed.token_version > 1
