-- check: one_row_a_person
-- severity: critical
-- A person stands once in a scope, on the side of a hash.
SELECT scope, count(*) AS n
FROM panel_sides
GROUP BY scope, user_id
HAVING count(*) > 1;
