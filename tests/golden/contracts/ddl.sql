CREATE TABLE "user_profiles" (
  "user_id" VARCHAR,
  "gender" VARCHAR,
  "birth_year" SMALLINT,
  "country" VARCHAR,
  "province" VARCHAR,
  "locale" VARCHAR,
  "timezone" VARCHAR,
  "signup_ts" TIMESTAMP WITH TIME ZONE,
  "device_vendor" VARCHAR,
  "membership_level" SMALLINT,
  "tags" VARCHAR[]
);

CREATE TABLE "user_preferences" (
  "user_id" VARCHAR,
  "kind" VARCHAR NOT NULL CHECK (NOT ("kind" NOT IN ('topic', 'channel'))),
  "name" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("name", '^[a-z][a-z0-9_]{0,63}$'))),
  "is_opted_in" BOOLEAN NOT NULL,
  "updated_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "preference_choices" (
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "kind" VARCHAR NOT NULL CHECK (NOT ("kind" NOT IN ('topic', 'channel', 'language', 'quiet_hours'))),
  "name" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("name", '^([a-z][a-z0-9_]{0,63}|[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?|[0-9]{1,2}-[0-9]{1,2})$'))),
  "is_opted_in" BOOLEAN NOT NULL,
  "updated_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "user_events" (
  "event_id" VARCHAR,
  "user_id" VARCHAR,
  "event_type" VARCHAR,
  "item" VARCHAR,
  "value" DOUBLE,
  "event_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "push_history" (
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "sent_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "slot_propensity" DOUBLE CHECK (NOT (NOT isfinite("slot_propensity") OR "slot_propensity" < 0 OR "slot_propensity" > 1)),
  "material_propensity" DOUBLE CHECK (NOT (NOT isfinite("material_propensity") OR "material_propensity" < 0 OR "material_propensity" > 1)),
  "opened_ts" TIMESTAMP WITH TIME ZONE
);

CREATE TABLE "push_receipts" (
  "receipt_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("receipt_id", '^[^\x00-\x1f\x7f]{1,256}$'))),
  "dispatch_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("dispatch_id", '^[0-9a-f]{32}$'))),
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "kind" VARCHAR NOT NULL CHECK (NOT ("kind" NOT IN ('accepted', 'rejected', 'skipped', 'deferred', 'ambiguous', 'delivered', 'displayed', 'opened', 'bounced', 'unsubscribed'))),
  "receipt_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "sent_ts" TIMESTAMP WITH TIME ZONE,
  "reason" VARCHAR
);

CREATE TABLE "suppressions" (
  "entry_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("entry_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "channel" VARCHAR CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "address_hash" VARCHAR,
  "since_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "reason" VARCHAR NOT NULL
);

CREATE TABLE "experiment_assignments" (
  "experiment" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("experiment", '^[a-z][a-z0-9_]{0,63}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "arm" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("arm", '^[a-z][a-z0-9_]{0,63}$'))),
  "assigned_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "stops" (
  "entry_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("entry_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "action" VARCHAR NOT NULL CHECK (NOT ("action" NOT IN ('stop', 'resume'))),
  "at_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "actor" VARCHAR NOT NULL,
  "reason" VARCHAR,
  "channel" VARCHAR CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$')))
);

CREATE TABLE "user_endpoints" (
  "user_id" VARCHAR,
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "address" VARCHAR,
  "registered_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "is_active" BOOLEAN NOT NULL,
  "app_version" VARCHAR,
  "permission" VARCHAR
);

CREATE TABLE "registered_addresses" (
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "address" VARCHAR,
  "registered_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "is_active" BOOLEAN NOT NULL,
  "app_version" VARCHAR,
  "permission" VARCHAR
);

CREATE TABLE "reach" (
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "device_vendor" VARCHAR,
  "app_version" VARCHAR,
  "permission" VARCHAR NOT NULL CHECK (NOT ("permission" NOT IN ('allowed', 'denied', 'unknown'))),
  "n_people" BIGINT NOT NULL CHECK (NOT ("n_people" < 0)),
  "n_devices" BIGINT NOT NULL CHECK (NOT ("n_devices" < 0)),
  "n_accepted" BIGINT NOT NULL CHECK (NOT ("n_accepted" < 0)),
  "n_delivered" BIGINT NOT NULL CHECK (NOT ("n_delivered" < 0)),
  "n_displayed" BIGINT NOT NULL CHECK (NOT ("n_displayed" < 0)),
  "n_opened" BIGINT NOT NULL CHECK (NOT ("n_opened" < 0))
);

CREATE TABLE "catalog_snapshot" (
  "kind" VARCHAR NOT NULL CHECK (NOT ("kind" NOT IN ('campaign', 'audience', 'material', 'template', 'channel', 'experiment', 'policy'))),
  "id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("id", '^[a-z][a-z0-9_]{0,63}$'))),
  "version" INTEGER NOT NULL CHECK (NOT ("version" < 1)),
  "body" VARCHAR NOT NULL
);

CREATE TABLE "user_index" (
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "ordinal" UINTEGER NOT NULL
);

CREATE TABLE "user_days" (
  "ordinal" UINTEGER NOT NULL,
  "event_type" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("event_type", '^[a-z][a-z0-9_]{0,63}$'))),
  "item" VARCHAR,
  "n_events" INTEGER NOT NULL CHECK (NOT ("n_events" < 1)),
  "value_sum" DOUBLE NOT NULL CHECK (NOT (NOT isfinite("value_sum"))),
  "hours" INTEGER NOT NULL CHECK (NOT ("hours" < 0 OR "hours" > 16777215))
);

CREATE TABLE "user_pushes" (
  "ordinal" UINTEGER NOT NULL,
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "kind" VARCHAR NOT NULL CHECK (NOT ("kind" NOT IN ('sent', 'opened'))),
  "at_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "sent_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "slot_propensity" DOUBLE CHECK (NOT (NOT isfinite("slot_propensity") OR "slot_propensity" < 0 OR "slot_propensity" > 1)),
  "material_propensity" DOUBLE CHECK (NOT (NOT isfinite("material_propensity") OR "material_propensity" < 0 OR "material_propensity" > 1))
);

CREATE TABLE "user_features" (
  "ordinal" UINTEGER NOT NULL,
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "gender" VARCHAR,
  "age_years" SMALLINT CHECK (NOT ("age_years" < 0 OR "age_years" > 130)),
  "country" VARCHAR,
  "province" VARCHAR,
  "locale" VARCHAR,
  "timezone" VARCHAR NOT NULL,
  "is_timezone_unknown" BOOLEAN NOT NULL,
  "device_vendor" VARCHAR,
  "membership_level" SMALLINT,
  "tags" VARCHAR[],
  "days_since_signup" INTEGER,
  "n_events_1d" INTEGER NOT NULL CHECK (NOT ("n_events_1d" < 0)),
  "n_events_7d" INTEGER NOT NULL CHECK (NOT ("n_events_7d" < 0)),
  "n_events_28d" INTEGER NOT NULL CHECK (NOT ("n_events_28d" < 0)),
  "n_active_days_28d" INTEGER NOT NULL CHECK (NOT ("n_active_days_28d" < 0 OR "n_active_days_28d" > 28)),
  "n_purchases_28d" INTEGER NOT NULL CHECK (NOT ("n_purchases_28d" < 0)),
  "value_28d" DOUBLE NOT NULL CHECK (NOT (NOT isfinite("value_28d"))),
  "days_since_event" INTEGER CHECK (NOT ("days_since_event" < 0)),
  "days_since_purchase" INTEGER CHECK (NOT ("days_since_purchase" < 0)),
  "n_pushes_7d" INTEGER NOT NULL CHECK (NOT ("n_pushes_7d" < 0)),
  "n_pushes_28d" INTEGER NOT NULL CHECK (NOT ("n_pushes_28d" < 0)),
  "n_opens_28d" INTEGER NOT NULL CHECK (NOT ("n_opens_28d" < 0)),
  "open_rate_28d" DOUBLE NOT NULL CHECK (NOT (NOT isfinite("open_rate_28d") OR "open_rate_28d" < 0 OR "open_rate_28d" > 1)),
  "days_since_push" INTEGER CHECK (NOT ("days_since_push" < 0)),
  "uplift_score" DOUBLE CHECK (NOT (NOT isfinite("uplift_score"))),
  "channels" VARCHAR[] NOT NULL,
  "opted_out_topics" VARCHAR[] NOT NULL,
  "is_suppressed" BOOLEAN NOT NULL,
  "quiet_start" SMALLINT CHECK (NOT ("quiet_start" < 0 OR "quiet_start" > 23)),
  "quiet_end" SMALLINT CHECK (NOT ("quiet_end" < 0 OR "quiet_end" > 23))
);

CREATE TABLE "bitmap_index" (
  "field" VARCHAR NOT NULL,
  "kind" VARCHAR NOT NULL CHECK (NOT ("kind" NOT IN ('value', 'slice', 'known', 'levels', 'amounts', 'items'))),
  "value" VARCHAR,
  "bit" SMALLINT CHECK (NOT ("bit" < 0 OR "bit" > 63)),
  "offset" BIGINT,
  "block" INTEGER NOT NULL CHECK (NOT ("block" < 0)),
  "cardinality" BIGINT NOT NULL CHECK (NOT ("cardinality" < 0)),
  "encoding" VARCHAR NOT NULL CHECK (NOT ("encoding" NOT IN ('words', 'roaring', 'arrays'))),
  "n_bytes" BIGINT NOT NULL CHECK (NOT ("n_bytes" < 0)),
  "bitmap" BLOB NOT NULL
);

CREATE TABLE "bitmap_days" (
  "field" VARCHAR NOT NULL,
  "kind" VARCHAR NOT NULL CHECK (NOT ("kind" NOT IN ('value', 'slice', 'known', 'levels', 'amounts', 'items'))),
  "value" VARCHAR,
  "bit" SMALLINT CHECK (NOT ("bit" < 0 OR "bit" > 63)),
  "offset" BIGINT,
  "block" INTEGER NOT NULL CHECK (NOT ("block" < 0)),
  "cardinality" BIGINT NOT NULL CHECK (NOT ("cardinality" < 0)),
  "encoding" VARCHAR NOT NULL CHECK (NOT ("encoding" NOT IN ('words', 'roaring', 'arrays'))),
  "n_bytes" BIGINT NOT NULL CHECK (NOT ("n_bytes" < 0)),
  "bitmap" BLOB NOT NULL
);

CREATE TABLE "audience_members" (
  "audience" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("audience", '^[a-z][a-z0-9_]{0,63}$'))),
  "shard" INTEGER NOT NULL CHECK (NOT ("shard" < 0)),
  "cardinality" BIGINT NOT NULL CHECK (NOT ("cardinality" < 0)),
  "bitmap" BLOB NOT NULL
);

CREATE TABLE "holdout_members" (
  "shard" INTEGER NOT NULL CHECK (NOT ("shard" < 0)),
  "cardinality" BIGINT NOT NULL CHECK (NOT ("cardinality" < 0)),
  "bitmap" BLOB NOT NULL
);

CREATE TABLE "user_lists" (
  "shard" INTEGER NOT NULL CHECK (NOT ("shard" < 0)),
  "cardinality" BIGINT NOT NULL CHECK (NOT ("cardinality" < 0)),
  "bitmap" BLOB NOT NULL
);

CREATE TABLE "user_hours" (
  "ordinal" UINTEGER NOT NULL,
  "hours_14d" FLOAT[] NOT NULL CHECK (NOT (len("hours_14d") <> 48)),
  "hours_56d" FLOAT[] NOT NULL CHECK (NOT (len("hours_56d") <> 48)),
  "hours_365d" FLOAT[] NOT NULL CHECK (NOT (len("hours_365d") <> 48))
);

CREATE TABLE "user_looks" (
  "ordinal" UINTEGER NOT NULL,
  "item" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("item", '^[a-z][a-z0-9_]{0,63}$'))),
  "looks" FLOAT NOT NULL CHECK (NOT (NOT isfinite("looks") OR "looks" < 0)),
  "sent" FLOAT CHECK (NOT (NOT isfinite("sent"))),
  "opened" FLOAT CHECK (NOT (NOT isfinite("opened")))
);

CREATE TABLE "send_times" (
  "ordinal" UINTEGER NOT NULL,
  "timezone" VARCHAR NOT NULL,
  "workday" FLOAT[] NOT NULL CHECK (NOT (len("workday") <> 24)),
  "day_off" FLOAT[] NOT NULL CHECK (NOT (len("day_off") <> 24)),
  "cluster" SMALLINT CHECK (NOT ("cluster" < 0)),
  "evidence" FLOAT NOT NULL CHECK (NOT (NOT isfinite("evidence") OR "evidence" < 0))
);

CREATE TABLE "material_scores" (
  "ordinal" UINTEGER NOT NULL,
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "p_open" DOUBLE NOT NULL CHECK (NOT (NOT isfinite("p_open") OR "p_open" < 0 OR "p_open" > 1)),
  "lift" DOUBLE CHECK (NOT (NOT isfinite("lift")))
);

CREATE TABLE "decisions" (
  "ordinal" UINTEGER NOT NULL,
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "choices" STRUCT("campaign_id" VARCHAR, "message_id" VARCHAR, "occurrence" VARCHAR, "material_id" VARCHAR, "material_propensity" DOUBLE, "eligible" BLOB, "slot" TIMESTAMP WITH TIME ZONE, "slot_propensity" DOUBLE, "channel" VARCHAR, "outcome" VARCHAR, "p_open" DOUBLE, "value_micros" BIGINT, "price_micros" BIGINT, "arm" VARCHAR, "is_explore" BOOLEAN)[] NOT NULL
);

CREATE TABLE "dispatch_manifest" (
  "dispatch_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("dispatch_id", '^[0-9a-f]{32}$'))),
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "ordinal" UINTEGER NOT NULL,
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "occurrence" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("occurrence", '^[A-Za-z0-9_.:-]{1,64}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "topic" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("topic", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "address" VARCHAR NOT NULL CHECK (NOT (NOT (regexp_full_match("address", '[^\x00-\x1f\x7f]*') AND length("address") BETWEEN 1 AND 4096))),
  "template_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("template_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "template_version" INTEGER NOT NULL CHECK (NOT ("template_version" < 1)),
  "fields" VARCHAR NOT NULL,
  "locale" VARCHAR,
  "priority" VARCHAR NOT NULL CHECK (NOT ("priority" NOT IN ('high', 'medium', 'low'))),
  "guarantee" VARCHAR NOT NULL CHECK (NOT ("guarantee" NOT IN ('at_most_once', 'at_least_once'))),
  "send_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "not_before" TIMESTAMP WITH TIME ZONE NOT NULL,
  "not_after" TIMESTAMP WITH TIME ZONE NOT NULL,
  "timezone" VARCHAR NOT NULL,
  "quiet_start" SMALLINT CHECK (NOT ("quiet_start" < 0 OR "quiet_start" > 23)),
  "quiet_end" SMALLINT CHECK (NOT ("quiet_end" < 0 OR "quiet_end" > 23)),
  "collapse_key" VARCHAR,
  "ttl_s" INTEGER NOT NULL CHECK (NOT ("ttl_s" < 0 OR "ttl_s" > 2419200)),
  "material_propensity" DOUBLE CHECK (NOT (NOT isfinite("material_propensity") OR "material_propensity" < 0 OR "material_propensity" > 1)),
  "slot_propensity" DOUBLE CHECK (NOT (NOT isfinite("slot_propensity") OR "slot_propensity" < 0 OR "slot_propensity" > 1))
);

CREATE TABLE "dispatch_fallover" (
  "dispatch_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("dispatch_id", '^[0-9a-f]{32}$'))),
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "ordinal" UINTEGER NOT NULL,
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "occurrence" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("occurrence", '^[A-Za-z0-9_.:-]{1,64}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "topic" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("topic", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "address" VARCHAR NOT NULL CHECK (NOT (NOT (regexp_full_match("address", '[^\x00-\x1f\x7f]*') AND length("address") BETWEEN 1 AND 4096))),
  "template_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("template_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "template_version" INTEGER NOT NULL CHECK (NOT ("template_version" < 1)),
  "fields" VARCHAR NOT NULL,
  "locale" VARCHAR,
  "priority" VARCHAR NOT NULL CHECK (NOT ("priority" NOT IN ('high', 'medium', 'low'))),
  "guarantee" VARCHAR NOT NULL CHECK (NOT ("guarantee" NOT IN ('at_most_once', 'at_least_once'))),
  "send_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "not_before" TIMESTAMP WITH TIME ZONE NOT NULL,
  "not_after" TIMESTAMP WITH TIME ZONE NOT NULL,
  "timezone" VARCHAR NOT NULL,
  "quiet_start" SMALLINT CHECK (NOT ("quiet_start" < 0 OR "quiet_start" > 23)),
  "quiet_end" SMALLINT CHECK (NOT ("quiet_end" < 0 OR "quiet_end" > 23)),
  "collapse_key" VARCHAR,
  "ttl_s" INTEGER NOT NULL CHECK (NOT ("ttl_s" < 0 OR "ttl_s" > 2419200)),
  "material_propensity" DOUBLE CHECK (NOT (NOT isfinite("material_propensity") OR "material_propensity" < 0 OR "material_propensity" > 1)),
  "slot_propensity" DOUBLE CHECK (NOT (NOT isfinite("slot_propensity") OR "slot_propensity" < 0 OR "slot_propensity" > 1))
);

CREATE TABLE "dispatch_intake" (
  "dispatch_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("dispatch_id", '^[0-9a-f]{32}$'))),
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "ordinal" UINTEGER NOT NULL,
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "occurrence" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("occurrence", '^[A-Za-z0-9_.:-]{1,64}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "topic" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("topic", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "address" VARCHAR NOT NULL CHECK (NOT (NOT (regexp_full_match("address", '[^\x00-\x1f\x7f]*') AND length("address") BETWEEN 1 AND 4096))),
  "template_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("template_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "template_version" INTEGER NOT NULL CHECK (NOT ("template_version" < 1)),
  "fields" VARCHAR NOT NULL,
  "locale" VARCHAR,
  "priority" VARCHAR NOT NULL CHECK (NOT ("priority" NOT IN ('high', 'medium', 'low'))),
  "guarantee" VARCHAR NOT NULL CHECK (NOT ("guarantee" NOT IN ('at_most_once', 'at_least_once'))),
  "send_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "not_before" TIMESTAMP WITH TIME ZONE NOT NULL,
  "not_after" TIMESTAMP WITH TIME ZONE NOT NULL,
  "timezone" VARCHAR NOT NULL,
  "quiet_start" SMALLINT CHECK (NOT ("quiet_start" < 0 OR "quiet_start" > 23)),
  "quiet_end" SMALLINT CHECK (NOT ("quiet_end" < 0 OR "quiet_end" > 23)),
  "collapse_key" VARCHAR,
  "ttl_s" INTEGER NOT NULL CHECK (NOT ("ttl_s" < 0 OR "ttl_s" > 2419200)),
  "material_propensity" DOUBLE CHECK (NOT (NOT isfinite("material_propensity") OR "material_propensity" < 0 OR "material_propensity" > 1)),
  "slot_propensity" DOUBLE CHECK (NOT (NOT isfinite("slot_propensity") OR "slot_propensity" < 0 OR "slot_propensity" > 1))
);

CREATE TABLE "intake_messages" (
  "intake_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("intake_id", '^[0-9a-f]{32}$'))),
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "client" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("client", '^[A-Za-z0-9_.:-]{1,64}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "class" VARCHAR NOT NULL CHECK (NOT ("class" NOT IN ('transactional', 'marketing'))),
  "priority" VARCHAR NOT NULL CHECK (NOT ("priority" NOT IN ('high', 'medium', 'low'))),
  "channels" VARCHAR[] NOT NULL,
  "n_variable_bytes" INTEGER NOT NULL CHECK (NOT ("n_variable_bytes" < 0)),
  "accepted_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "send_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "expires_ts" TIMESTAMP WITH TIME ZONE,
  "status" VARCHAR NOT NULL CHECK (NOT ("status" NOT IN ('accepted', 'claimed', 'queued', 'sent', 'delivered', 'opened', 'failed', 'ambiguous', 'refused', 'cancelled', 'expired'))),
  "status_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "intake_steps" (
  "intake_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("intake_id", '^[0-9a-f]{32}$'))),
  "step" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("step", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "at_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "reason" VARCHAR
);

CREATE TABLE "intake_pending" (
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "is_sent" BOOLEAN NOT NULL,
  "at_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "external_ids" (
  "namespace" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("namespace", '^[a-z][a-z0-9_]{0,63}$'))),
  "external_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("external_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "linked_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "intake_usage" (
  "client" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("client", '^[A-Za-z0-9_.:-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "template_id" VARCHAR CHECK (NOT (NOT regexp_full_match("template_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "class" VARCHAR NOT NULL CHECK (NOT ("class" NOT IN ('transactional', 'marketing'))),
  "priority" VARCHAR NOT NULL CHECK (NOT ("priority" NOT IN ('high', 'medium', 'low'))),
  "n_messages" BIGINT NOT NULL CHECK (NOT ("n_messages" < 0)),
  "n_variable_bytes" BIGINT NOT NULL CHECK (NOT ("n_variable_bytes" < 0)),
  "n_waiting" BIGINT NOT NULL CHECK (NOT ("n_waiting" < 0)),
  "n_sent" BIGINT NOT NULL CHECK (NOT ("n_sent" < 0)),
  "n_not_sent" BIGINT NOT NULL CHECK (NOT ("n_not_sent" < 0)),
  "n_withdrawn" BIGINT NOT NULL CHECK (NOT ("n_withdrawn" < 0)),
  "n_delivered" BIGINT NOT NULL CHECK (NOT ("n_delivered" < 0)),
  "n_opened" BIGINT NOT NULL CHECK (NOT ("n_opened" < 0)),
  "n_queued" BIGINT NOT NULL CHECK (NOT ("n_queued" < 0)),
  "queued_after_ms" BIGINT NOT NULL CHECK (NOT ("queued_after_ms" < 0))
);

CREATE TABLE "delivery_ledger" (
  "dispatch_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("dispatch_id", '^[0-9a-f]{32}$'))),
  "message_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("message_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "material_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "outcome" VARCHAR NOT NULL CHECK (NOT ("outcome" NOT IN ('accepted', 'rejected', 'skipped', 'deferred', 'ambiguous'))),
  "reason" VARCHAR,
  "provider_id" VARCHAR,
  "sent_ts" TIMESTAMP WITH TIME ZONE,
  "n_attempts" SMALLINT NOT NULL CHECK (NOT ("n_attempts" < 0)),
  "payload_sha256" VARCHAR
);

CREATE TABLE "canary_choices" (
  "entry_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("entry_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "night" VARCHAR NOT NULL,
  "action" VARCHAR NOT NULL CHECK (NOT ("action" NOT IN ('pass', 'fail'))),
  "at_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "actor" VARCHAR NOT NULL,
  "reason" VARCHAR NOT NULL
);

CREATE TABLE "channel_changes" (
  "entry_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("entry_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "version" INTEGER NOT NULL CHECK (NOT ("version" < 1)),
  "body" VARCHAR,
  "at_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "inbox_messages" (
  "dispatch_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("dispatch_id", '^[0-9a-f]{32}$'))),
  "user_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("user_id", '^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$'))),
  "channel" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "title" VARCHAR NOT NULL,
  "body" VARCHAR NOT NULL,
  "link" VARCHAR,
  "collapse_key" VARCHAR,
  "stored_ts" TIMESTAMP WITH TIME ZONE NOT NULL,
  "expires_ts" TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE "campaign_effects" (
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "arm" VARCHAR NOT NULL,
  "material_id" VARCHAR CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR,
  "n_users" BIGINT NOT NULL CHECK (NOT ("n_users" < 0)),
  "n_sent" BIGINT NOT NULL CHECK (NOT ("n_sent" < 0)),
  "n_opened" BIGINT NOT NULL CHECK (NOT ("n_opened" < 0)),
  "n_converted" BIGINT NOT NULL CHECK (NOT ("n_converted" < 0)),
  "n_active_days" BIGINT NOT NULL CHECK (NOT ("n_active_days" < 0)),
  "n_unsubscribed" BIGINT NOT NULL CHECK (NOT ("n_unsubscribed" < 0))
);

CREATE TABLE "effects_mart" (
  "night" VARCHAR NOT NULL,
  "campaign_id" VARCHAR NOT NULL CHECK (NOT (NOT regexp_full_match("campaign_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "audience" VARCHAR,
  "side" VARCHAR NOT NULL CHECK (NOT ("side" NOT IN ('treated', 'holdout_global', 'holdout_campaign'))),
  "arm" VARCHAR,
  "material_id" VARCHAR CHECK (NOT (NOT regexp_full_match("material_id", '^[a-z][a-z0-9_]{0,63}$'))),
  "channel" VARCHAR CHECK (NOT (NOT regexp_full_match("channel", '^[a-z][a-z0-9_]{0,31}$'))),
  "device_vendor" VARCHAR,
  "country" VARCHAR,
  "tenure" VARCHAR NOT NULL CHECK (NOT ("tenure" NOT IN ('new', 'known', 'unknown'))),
  "send_hour" TIMESTAMP WITH TIME ZONE,
  "n_pairs" BIGINT NOT NULL CHECK (NOT ("n_pairs" < 0)),
  "n_planned" BIGINT NOT NULL CHECK (NOT ("n_planned" < 0)),
  "n_sent" BIGINT NOT NULL CHECK (NOT ("n_sent" < 0)),
  "n_delivered" BIGINT NOT NULL CHECK (NOT ("n_delivered" < 0)),
  "n_displayed" BIGINT NOT NULL CHECK (NOT ("n_displayed" < 0)),
  "n_bounced" BIGINT NOT NULL CHECK (NOT ("n_bounced" < 0)),
  "n_opened" BIGINT NOT NULL CHECK (NOT ("n_opened" < 0)),
  "n_influenced" BIGINT NOT NULL CHECK (NOT ("n_influenced" < 0)),
  "n_conversions" BIGINT NOT NULL CHECK (NOT ("n_conversions" < 0)),
  "conversion_value" DOUBLE NOT NULL CHECK (NOT (NOT isfinite("conversion_value"))),
  "n_unsubscribed" BIGINT NOT NULL CHECK (NOT ("n_unsubscribed" < 0)),
  "n_complained" BIGINT NOT NULL CHECK (NOT ("n_complained" < 0)),
  "n_pairs_converted" BIGINT NOT NULL CHECK (NOT ("n_pairs_converted" < 0)),
  "pair_value" DOUBLE NOT NULL CHECK (NOT (NOT isfinite("pair_value")))
);

CREATE TABLE "decided_pairs" (
  "ordinal" UINTEGER NOT NULL,
  "others" INTEGER[] NOT NULL,
  "sent" STRUCT("pair" INTEGER, "material" INTEGER, "channel" INTEGER, "slot" TIMESTAMP WITH TIME ZONE, "message_id" VARCHAR)[] NOT NULL
);
