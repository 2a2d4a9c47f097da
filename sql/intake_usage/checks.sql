-- check: every_message_has_one_end
-- severity: critical
-- A message waits, was sent, was not sent, or was withdrawn.
SELECT client, campaign_id, n_messages
FROM intake_usage
WHERE n_messages <> n_waiting + n_sent + n_not_sent + n_withdrawn;

-- check: every_message_counts_once
-- severity: critical
-- A message of the intake stands in one row.
SELECT count(*) AS n
FROM (SELECT intake_id FROM intake_messages GROUP BY intake_id HAVING count(*) > 1) AS twice
HAVING count(*) > 0;

-- check: most_are_sent
-- severity: warning
-- Most of what a client asks for can be sent.
SELECT client, campaign_id, sum(n_not_sent) AS n
FROM intake_usage
GROUP BY client, campaign_id
HAVING sum(n_not_sent) > 0.5 * sum(n_messages);
