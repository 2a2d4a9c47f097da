-- check: opened_after_sent
-- severity: warning
-- Nobody opens before it was sent.
SELECT count(*) AS n
FROM opened
WHERE opened_ts < sent_ts
HAVING count(*) > 0;
