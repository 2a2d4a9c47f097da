-- check: every_planned_row_has_an_hour
-- severity: critical
-- All manifest rows fall into the planned day.
SELECT count(*) AS n
FROM dispatch_manifest
WHERE send_ts < $plan_start OR send_ts >= $plan_end
HAVING count(*) > 0;

-- check: sent_on_time
-- severity: warning
-- Messages leave within the planned day and its windows.
SELECT count(*) AS n
FROM delivery_ledger
INNER JOIN dispatch_manifest ON delivery_ledger.dispatch_id = dispatch_manifest.dispatch_id
WHERE delivery_ledger.sent_ts < dispatch_manifest.not_before OR delivery_ledger.sent_ts >= dispatch_manifest.not_after
HAVING count(*) > 0;
