SELECT
  count(*) AS n_rows,
  count(*) FILTER (WHERE "ordinal" IS NULL) AS "ordinal.not_null",
  count(*) FILTER (WHERE "timezone" IS NULL) AS "timezone.not_null",
  count(*) FILTER (WHERE "workday" IS NULL) AS "workday.not_null",
  count(*) FILTER (WHERE len(list_filter("workday", lambda x: x IS NULL OR NOT isfinite(x))) > 0) AS "workday.finite",
  count(*) FILTER (WHERE len("workday") <> 24) AS "workday.length",
  count(*) FILTER (WHERE "day_off" IS NULL) AS "day_off.not_null",
  count(*) FILTER (WHERE len(list_filter("day_off", lambda x: x IS NULL OR NOT isfinite(x))) > 0) AS "day_off.finite",
  count(*) FILTER (WHERE len("day_off") <> 24) AS "day_off.length",
  count(*) FILTER (WHERE "cluster" < 0) AS "cluster.range",
  count(*) FILTER (WHERE "evidence" IS NULL) AS "evidence.not_null",
  count(*) FILTER (WHERE NOT isfinite("evidence") OR "evidence" < 0) AS "evidence.range",
  (SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM "send_times" WHERE "ordinal" IS NOT NULL GROUP BY "ordinal" HAVING count(*) > 1)) AS "key.unique"
FROM "send_times"
