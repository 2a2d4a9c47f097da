"""A plan of N messages without a night before it: for benchmarks, soak runs, fault tests.

Writes one commit of `catalog_snapshot` and one of `dispatch_manifest`. Grain: one message. Addresses are
`sandbox-…` and mean nothing to a provider.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from angelia.contracts import arrow, dataset, ids
from angelia.lake import Commit, Lake

CAMPAIGN = "price_drop"
PROVIDERS = {
    "fcm": "fcm_v1",
    "apns": "apns",
    "email": "smtp",
    "webhook": "webhook",
    "webpush": "webpush",
    "email_ses": "ses_v2",
    "sms": "twilio",
    "huawei": "huawei",
    "xiaomi": "xiaomi",
    "wecom": "wecom",
    "dingtalk": "dingtalk",
    "oppo": "oppo",
    "vivo": "vivo",
    "honor": "honor",
    "meizu": "meizu",
    "wechat_subscribe": "wechat_subscribe",
    "wechat_template": "wechat_template",
    "qq_bot": "qq_bot",
    "email_mandrill": "mandrill",
    "sns_push": "sns_push",
    "sns_sms": "sns_sms",
}
ITEMS = ("camera", "phone", "shoes", "book", "lamp", "kettle", "guitar", "tent")


def documents(quota_per_minute: int = 600_000, channels: Sequence[str] = ("fcm",)) -> list[dict[str, Any]]:
    """Return the catalog documents such a plan needs, as snapshot rows."""
    template: dict[str, Any] = {
        "kind": "template",
        "id": "price_drop",
        "default_locale": "en",
        "channels": list(channels),
        "variables": {"item": {"default": "something you like"}, "first_name": {"default": "there"}},
        "variants": {
            "en": {
                "title": "Price drop: {{ item }}",
                "body": "Hello {{ first_name }}, your {{ item }} costs less today.",
            },
            "de": {
                "title": "Preissturz: {{ item }}",
                "body": "Hallo {{ first_name }}, {{ item }} kostet heute weniger.",
            },
        },
        "link": "https://shop.example/sale?c={{ campaign_id }}",
    }
    bodies = [template]
    for channel in channels:
        bodies.append(
            {
                "kind": "channel",
                "id": channel,
                "provider": PROVIDERS[channel],
                "enabled": True,
                "quota_per_minute": quota_per_minute,
            }
        )
    return [
        {"kind": body["kind"], "id": body["id"], "version": 1, "body": json.dumps(body, sort_keys=True)}
        for body in bodies
    ]


def rows(first: int, n: int, start: datetime, **changes: Any) -> pa.Table:
    """Return n manifest rows of users first, first+1, …, sendable from `start` for two hours.

    `changes` are constants, or functions of the number.
    """
    made = []
    for number in range(first, first + n):
        user = f"u{number:08d}"
        message = ids.message_id(CAMPAIGN, user, start.date().isoformat())
        row: dict[str, Any] = {
            "dispatch_id": "", "message_id": message, "user_id": user, "ordinal": number,
            "campaign_id": CAMPAIGN,
            "occurrence": start.date().isoformat(), "material_id": f"price_drop_{ITEMS[number % 8]}",
            "topic": "promo", "channel": "fcm",
            "address": f"sandbox-{number:08d}-" + "x" * 120, "template_id": "price_drop",
            "template_version": 1,
            "fields": json.dumps({"campaign_id": CAMPAIGN, "item": ITEMS[number % 8],
            "first_name": f"Ann{number % 997}"}),
            "locale": ("en", "de", None)[number % 3], "priority": "medium", "guarantee": "at_most_once",
            "send_ts": start,
            "not_before": start, "not_after": start + timedelta(hours=2), "timezone": "UTC",
            "quiet_start": None, "quiet_end": None,
            "collapse_key": CAMPAIGN, "ttl_s": 43_200, "material_propensity": None, "slot_propensity": None,
        }  # fmt: skip
        for name, value in changes.items():
            row[name] = value(number) if callable(value) else value
        row["dispatch_id"] = row["dispatch_id"] or ids.dispatch_id(
            row["message_id"], row["channel"], row["address"]
        )
        made.append(row)
    made.sort(key=lambda row: str(row["dispatch_id"]))
    return pa.Table.from_pylist(made, schema=arrow.schema(dataset("dispatch_manifest")))


def make(
    lake: Lake,
    ds: str,
    messages: int,
    *,
    hours: Sequence[int] = (4,),
    part_rows: int = 100_000,
    quota_per_minute: int = 600_000,
    changes: Mapping[str, Any] | None = None,
) -> Commit:
    """Write a plan of `messages` rows spread evenly over UTC hours of the day after ds."""
    day = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)
    given = dict(changes or {})
    channel, priority = given.get("channel", "fcm"), given.get("priority", "medium")
    with lake.attempt("catalog_snapshot", ds=ds) as attempt:
        attempt.write(
            pa.Table.from_pylist(
                documents(quota_per_minute, (channel,)), schema=arrow.schema(dataset("catalog_snapshot"))
            ),
            "part-0000.parquet",
        )
        snapshot = attempt.publish()
    per_hour, first = -(-messages // len(hours)), 0
    with lake.attempt("dispatch_manifest", ds=ds) as attempt:
        for hour in hours:
            left, part = min(per_hour, messages - first), 0
            while left > 0:
                n = min(part_rows, left)
                start = day + timedelta(hours=hour)
                keys = {"send_hour": start.strftime("%Y-%m-%dT%H"), "channel": channel, "priority": priority}
                folder = "/".join(f"{key}={value}" for key, value in keys.items())
                attempt.write(rows(first, n, start, **given), f"{folder}/part-{part:04d}.parquet", keys=keys)
                first, left, part = first + n, left - n, part + 1
        return attempt.publish(inputs=[snapshot])
