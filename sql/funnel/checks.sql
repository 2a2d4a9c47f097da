-- check: planned_stand_in_manifest
-- severity: warning
-- Planned messages stand in the manifests; missing ones had no usable address or an hour that was sealed already.
SELECT planned.n - written.n AS missing
FROM funnel AS planned, funnel AS written
WHERE
    planned.name = 'planned' AND written.name = 'in manifests' AND planned.n > written.n
    AND (written.n > 0 OR (SELECT count(*) FROM delivery_ledger) = 0);

-- check: nothing_beyond_the_plan
-- severity: critical
-- No message is in the manifests that the plan did not choose.
SELECT count(*) AS n
FROM dispatch_manifest
WHERE message_id NOT IN (SELECT message_id FROM considered WHERE outcome = 'sent')
HAVING count(*) > 0;

-- check: ledger_within_manifest
-- severity: critical
-- No message was delivered that no manifest holds (one that fell over to another channel has another dispatch id). An imported night has no manifest.
SELECT count(*) AS n
FROM delivery_ledger
WHERE
    message_id NOT IN (SELECT message_id FROM dispatch_manifest)
    AND (SELECT count(*) FROM dispatch_manifest) > 0
HAVING count(*) > 0;

-- check: every_row_accounted_for
-- severity: warning
-- Once delivery has begun, every manifest row has an outcome.
SELECT count(*) AS n
FROM dispatch_manifest
WHERE
    (SELECT count(*) FROM delivery_ledger) > 0
    AND dispatch_id NOT IN (SELECT dispatch_id FROM delivery_ledger)
HAVING count(*) > 0;
