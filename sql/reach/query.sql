-- Who can be reached and what they got, published as the dataset of that name. Grain: channel x vendor x app version x permission.
-- Reads user_endpoints, registered_addresses, user_features, delivery_ledger, dispatch_manifest, push_receipts. A message that fell over to
-- another channel has no row in the manifest, so its app version is unknown. A message to several devices counts for each, opened where it was.
WITH words AS (
    SELECT user_id, channel, address, registered_ts, is_active, app_version, permission FROM user_endpoints
    UNION ALL
    SELECT user_id, channel, address, registered_ts, is_active, app_version, permission FROM registered_addresses
),

last_words AS (
    -- Of a source's snapshot and a client's word the later one holds; of two at one instant the one that ends the address.
    SELECT
        user_id,
        channel,
        address,
        max(
            struct_pack(at := registered_ts, is_over := NOT is_active, version := app_version, permission := permission)
        ) AS said
    FROM words
    WHERE user_id IS NOT NULL AND channel IS NOT NULL AND address IS NOT NULL
    GROUP BY user_id, channel, address
),

vendors AS (
    SELECT user_id, device_vendor FROM user_features
),

devices AS (
    SELECT
        last_words.user_id,
        last_words.channel,
        last_words.address,
        vendors.device_vendor,
        last_words.said.version AS app_version,
        coalesce(last_words.said.permission, 'unknown') AS permission
    FROM last_words
    LEFT JOIN vendors ON last_words.user_id = vendors.user_id
    WHERE NOT last_words.said.is_over
),

receipts AS (
    SELECT
        dispatch_id,
        bool_or(kind = 'delivered') AS is_delivered,
        bool_or(kind = 'displayed') AS is_displayed,
        bool_or(
            kind = 'opened' AND reason IS DISTINCT FROM 'machine' AND receipt_ts < sent_ts + INTERVAL 24 HOUR
        ) AS is_opened
    FROM push_receipts
    WHERE kind IN ('delivered', 'displayed', 'opened')
    GROUP BY dispatch_id
),

messages AS (
    SELECT
        sent.channel,
        vendors.device_vendor,
        devices.app_version,
        coalesce(devices.permission, 'unknown') AS permission,
        coalesce(receipts.is_delivered, FALSE) AS is_delivered,
        coalesce(receipts.is_displayed, FALSE) AS is_displayed,
        coalesce(receipts.is_opened, FALSE) AS is_opened
    FROM delivery_ledger AS sent
    LEFT JOIN dispatch_manifest AS planned ON sent.dispatch_id = planned.dispatch_id
    LEFT JOIN devices
        ON
            sent.user_id = devices.user_id
            AND sent.channel = devices.channel
            AND planned.address = devices.address
    LEFT JOIN vendors ON sent.user_id = vendors.user_id
    LEFT JOIN receipts ON sent.dispatch_id = receipts.dispatch_id
    WHERE sent.outcome = 'accepted'
),

counted AS (
    SELECT
        channel,
        device_vendor,
        app_version,
        permission,
        count(DISTINCT user_id) AS n_people,
        count(*) AS n_devices,
        0 AS n_accepted,
        0 AS n_delivered,
        0 AS n_displayed,
        0 AS n_opened
    FROM devices
    GROUP BY channel, device_vendor, app_version, permission
    UNION ALL
    SELECT
        channel,
        device_vendor,
        app_version,
        permission,
        0 AS n_people,
        0 AS n_devices,
        count(*) AS n_accepted,
        count(*) FILTER (WHERE is_delivered) AS n_delivered,
        count(*) FILTER (WHERE is_displayed) AS n_displayed,
        count(*) FILTER (WHERE is_opened) AS n_opened
    FROM messages
    GROUP BY channel, device_vendor, app_version, permission
)

SELECT
    channel,
    device_vendor,
    app_version,
    permission,
    sum(n_people)::BIGINT AS n_people,
    sum(n_devices)::BIGINT AS n_devices,
    sum(n_accepted)::BIGINT AS n_accepted,
    sum(n_delivered)::BIGINT AS n_delivered,
    sum(n_displayed)::BIGINT AS n_displayed,
    sum(n_opened)::BIGINT AS n_opened
FROM counted
GROUP BY channel, device_vendor, app_version, permission
ORDER BY channel, n_devices DESC, n_accepted DESC, device_vendor, app_version, permission
