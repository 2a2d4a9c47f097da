-- check: few_ambiguous
-- severity: warning
-- Ambiguous answers stay below one percent of a channel.
SELECT channel, sum(of_channel_pct) AS pct
FROM channel_health
WHERE outcome = 'ambiguous'
GROUP BY channel
HAVING sum(of_channel_pct) > 1;

-- check: most_accepted
-- severity: warning
-- A provider takes most of what it is asked to send.
SELECT channel, sum(of_channel_pct) FILTER (WHERE outcome = 'accepted') AS accepted_pct
FROM channel_health
GROUP BY channel
HAVING coalesce(sum(of_channel_pct) FILTER (WHERE outcome = 'accepted'), 0) < 80;

-- check: dispatch_once
-- severity: critical
-- A dispatch has one outcome.
SELECT count(*) AS n
FROM (SELECT dispatch_id FROM delivery_ledger GROUP BY dispatch_id HAVING count(*) > 1) AS twice
HAVING count(*) > 0;
