-- check: windows_within_a_week
-- severity: critical
-- A window lasts from no hour to a week.
SELECT campaign_id, open_hours, conversion_hours
FROM attribution_campaigns
WHERE open_hours NOT BETWEEN 0 AND 168 OR conversion_hours NOT BETWEEN 0 AND 168;
