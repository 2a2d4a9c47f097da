-- First open of each message within 24 hours of its send, by a person: what a scanner opened is no open. Grain: message. Reads push_receipts.
SELECT
    message_id,
    min(receipt_ts) AS opened_ts,
    min(sent_ts) AS sent_ts
FROM push_receipts
WHERE
    kind = 'opened'
    AND reason IS DISTINCT FROM 'machine'
    AND receipt_ts < sent_ts + INTERVAL 24 HOUR
GROUP BY message_id
