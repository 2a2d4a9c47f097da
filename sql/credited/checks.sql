-- check: few_complaints
-- severity: warning
-- Fewer than one message in a thousand brings a complaint; mail providers block those who get more.
SELECT campaign_id, n_complained, n_sent
FROM credited
WHERE n_complained > 0.001 * n_sent AND n_complained > 2;
