SELECT
  count(*) AS n_rows,
  count(*) FILTER (WHERE "event_id" IS NULL) AS "event_id.not_null",
  count(*) FILTER (WHERE NOT regexp_full_match("event_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$')) AS "event_id.pattern",
  count(*) FILTER (WHERE "user_id" IS NULL) AS "user_id.not_null",
  count(*) FILTER (WHERE NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$')) AS "user_id.pattern",
  count(*) FILTER (WHERE "event_type" IS NULL) AS "event_type.not_null",
  count(*) FILTER (WHERE NOT regexp_full_match("event_type", '^[a-z][a-z0-9_]{0,63}$')) AS "event_type.pattern",
  count(*) FILTER (WHERE NOT regexp_full_match("item", '^[a-z][a-z0-9_]{0,63}$')) AS "item.pattern",
  count(*) FILTER (WHERE NOT isfinite("value") OR "value" < -1000000000 OR "value" > 1000000000) AS "value.range",
  count(*) FILTER (WHERE "event_ts" IS NULL) AS "event_ts.not_null",
  (SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM "user_events" WHERE "event_id" IS NOT NULL GROUP BY "event_id" HAVING count(*) > 1)) AS "key.unique",
  count(*) FILTER (WHERE "event_ts" >= $day_end) AS "event_ts.not_future",
  count(*) FILTER (WHERE "event_ts" < $day_start - INTERVAL 3 DAY) AS "event_ts.not_late"
FROM "user_events"
