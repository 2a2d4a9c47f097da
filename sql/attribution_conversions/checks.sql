-- check: conversion_complete
-- severity: critical
-- A conversion has a person, an instant and an amount.
SELECT event_type, count(*) AS n
FROM attribution_conversions
WHERE user_id IS NULL OR event_ts IS NULL OR amount IS NULL
GROUP BY event_type;
