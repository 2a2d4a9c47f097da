SELECT
  count(*) AS n_rows,
  count(*) FILTER (WHERE "user_id" IS NULL) AS "user_id.not_null",
  count(*) FILTER (WHERE NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$')) AS "user_id.pattern",
  count(*) FILTER (WHERE "gender" NOT IN ('f', 'm', 'x')) AS "gender.allowed",
  count(*) FILTER (WHERE "birth_year" < 1900 OR "birth_year" > 2020) AS "birth_year.range",
  count(*) FILTER (WHERE NOT regexp_full_match("country", '^[A-Z]{2}$')) AS "country.pattern",
  count(*) FILTER (WHERE NOT regexp_full_match("locale", '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$')) AS "locale.pattern",
  count(*) FILTER (WHERE "timezone" IS NULL) AS "timezone.max_null",
  count(*) FILTER (WHERE "timezone" NOT IN (SELECT unnest($timezones))) AS "timezone.rule",
  count(*) FILTER (WHERE "membership_level" < 0 OR "membership_level" > 9) AS "membership_level.range",
  (SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM "user_profiles" WHERE "user_id" IS NOT NULL GROUP BY "user_id" HAVING count(*) > 1)) AS "key.unique",
  count(*) FILTER (WHERE "signup_ts" >= $day_end) AS "signup_ts.not_future"
FROM "user_profiles"
