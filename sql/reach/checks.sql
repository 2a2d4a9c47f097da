-- check: every_accepted_message_counts_once
-- severity: critical
-- A message that a provider took stands in one row.
SELECT sum(n_accepted) AS n
FROM reach
HAVING sum(n_accepted) <> (SELECT count(*) AS n FROM delivery_ledger WHERE outcome = 'accepted');

-- check: most_devices_show_notifications
-- severity: warning
-- Less than half of a channel's devices deny the app's notifications.
SELECT channel, sum(n_devices) FILTER (WHERE permission = 'denied') AS n_denied
FROM reach
GROUP BY channel
HAVING sum(n_devices) FILTER (WHERE permission = 'denied') > 0.5 * sum(n_devices);
