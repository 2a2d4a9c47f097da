-- check: audience_not_empty
-- severity: warning
-- An empty audience is rarely meant.
SELECT audience
FROM audiences
WHERE n_users = 0;

-- check: audience_within_population
-- severity: critical
-- An audience is no larger than the population.
SELECT audience, n_users
FROM audiences
WHERE n_users > (SELECT count(*) FROM user_index);
