"""Valid rows of any dataset, made from its contract: the factory of all test samples.

`valid_rows("user_events", 100, seed=7, ds="2026-11-14")` satisfies every constraint of the contract: types,
nulls, allowed values, ranges, patterns, unique keys, the day column. The same arguments give the same rows.
Datasets fit together: user number i is `u000000i` with ordinal i everywhere, message ids are those of
`contracts.ids`, bitmaps are serialised roaring with the stated cardinality. Datasets of user grain hold users
0..n-1; the others several rows a user. A column that has no maker below is generated from its own
declaration, so a new column needs no change here unless its pattern is new. Surprise: values are plausible,
not realistic; `angelia.world` is for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from angelia.contracts import arrow, ids
from angelia.contracts import dataset as contract_of
from angelia.contracts.core import TIMEZONE_RULE, Column, Dataset
from angelia.contracts.devices.endpoints import APP_VERSION
from angelia.contracts.sources import ADDRESS, CHANNEL, CHANNELS, CHOSEN, ID, LOCALE, NAME

DEFAULT_DS = "2026-11-14"
TIMEZONES = ("Asia/Shanghai", "Europe/Berlin", "Asia/Kolkata", "America/New_York",
             "Australia/Lord_Howe", "UTC")  # fmt: skip
CAMPAIGNS = ("price_drop", "win_back", "cart_reminder", "weekly_digest")
MATERIALS = ("camera", "shoes", "phone", "book")
EVENT_TYPES = ("open", "view", "cart", "purchase")
Values = list[Any]


def user_name(i: int) -> str:
    """Return the id of user number i, the same in every dataset."""
    return f"u{i:07d}"


class _Row:
    """The seeded generator and the facts several columns of one dataset share."""

    def __init__(self, contract: Dataset, n: int, seed: int, ds: str) -> None:
        self.contract, self.n, self.ds = contract, n, ds
        self.rng = np.random.default_rng([seed, *contract.name.encode()])
        self.day = datetime.fromisoformat(ds).replace(tzinfo=UTC)
        per_user = {
            "user_preferences": 4,
            "user_days": 4,
            "material_scores": 4,
            "push_history": 3,
            "user_events": 5,
            "user_endpoints": 2,
            "registered_addresses": 2,
        }
        self.user = [i // per_user.get(contract.name, 1) for i in range(n)]
        self.campaign = [CAMPAIGNS[i % 4] for i in range(n)]
        self.message = [
            ids.message_id(c, user_name(u), f"{ds}.{i}")
            for i, (c, u) in enumerate(zip(self.campaign, self.user, strict=True))
        ]
        # Seconds after midnight; instants of one row keep their order through offsets from it.
        self.second = self.rng.integers(0, 80_000, n).tolist()

    def at(self, days: int = 0, seconds: int = 0) -> Values:
        """Return one instant a row on day ds + days."""
        return [self.day + timedelta(days=days, seconds=s + seconds) for s in self.second]

    def pick(self, values: tuple[Any, ...]) -> Values:
        """Return one of the values a row, drawn uniformly."""
        return [values[k] for k in self.rng.integers(0, len(values), self.n)]


def valid_rows(dataset: str, n: int, seed: int = 7, ds: str = DEFAULT_DS) -> pa.Table:
    """Return n rows that satisfy every constraint of a dataset's contract on day `ds`.

    Raises:
        NotFound: no dataset has this name.
    """
    contract = contract_of(dataset)
    row = _Row(contract, n, seed, ds)
    columns = {column.name: _with_nulls(column, _values(column, row), row) for column in contract.columns}
    if dataset in _ADAPT:
        columns.update(_ADAPT[dataset](row, columns))
    return pa.Table.from_pydict(columns, schema=arrow.schema(contract))


def _with_nulls(column: Column, values: Values, row: _Row) -> Values:
    if not column.nullable:
        return values
    step = (
        20 if column.max_null_pct is None else max(20, int(200 / max(column.max_null_pct, 1e-9)))
    )  # at most half of what is allowed
    return [None if i % step == step - 1 else value for i, value in enumerate(values)]


def _values(column: Column, row: _Row) -> Values:
    if column.name in _BY_NAME:
        return _BY_NAME[column.name](row)
    if column.allowed is not None:
        return row.pick(column.allowed)
    if column.rule == TIMEZONE_RULE:
        return row.pick(TIMEZONES)
    if column.pattern is not None:
        if column.pattern not in _BY_PATTERN:
            raise ValueError(
                f"{row.contract.name}.{column.name}: tell contracts.rows how to make a value for "
                f"the pattern {column.pattern}"
            )
        return [_BY_PATTERN[column.pattern](column.name, i) for i in range(row.n)]
    return _by_type(column, row)


def _by_type(column: Column, row: _Row) -> Values:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        if pa.types.is_string(kind.value_type):
            return [[f"{column.name}_{i % 5}"] for i in range(row.n)]
        if pa.types.is_integer(kind.value_type):
            return [[i % 5] for i in range(row.n)]
        if column.fields:
            members = {field.name: _values(field, row) for field in column.fields}
            return [[dict(zip(members, line, strict=True))] for line in zip(*members.values(), strict=True)]
        length = column.length or 2
        draws = row.rng.uniform(0.5, 1.5, (row.n, length))
        shares = (draws / draws.mean(axis=1, keepdims=True)).astype(np.float32)
        return list(shares.tolist())
    if pa.types.is_string(kind):
        return [f"{column.name}_{i % 7}" for i in range(row.n)]
    if pa.types.is_binary(kind):
        return [f"{column.name}_{i}".encode() for i in range(row.n)]
    if pa.types.is_boolean(kind):
        return list(row.rng.random(row.n) < 0.5)
    if pa.types.is_timestamp(kind):
        return row.at()
    low = 0.0 if column.minimum is None else column.minimum
    high = low + 100 if column.maximum is None else min(column.maximum, low + 1000)
    if pa.types.is_integer(kind):
        return list(row.rng.integers(int(np.ceil(low)), int(high) + 1, row.n).tolist())
    if pa.types.is_floating(kind):
        return list(np.round(row.rng.uniform(low, high, row.n), 6).tolist())
    raise ValueError(f"{row.contract.name}.{column.name}: tell contracts.rows how to make a {kind}")


def roaring(values: list[int]) -> bytes:
    """Serialise ordinals below 65,536 (at most 4,096 of them) as a portable roaring bitmap.

    By hand, since contracts import no engine. Source: RoaringFormatSpec, "cookie 12346, array container".
    """
    if not values:
        return np.array([12346, 0], "<u4").tobytes()
    ordered = np.unique(np.array(values, "<u2"))
    header = (
        np.array([12346, 1], "<u4").tobytes()
        + np.array([0, len(ordered) - 1], "<u2").tobytes()
        + np.array([16], "<u4").tobytes()
    )
    return header + ordered.tobytes()


_BY_PATTERN: dict[str, Callable[[str, int], str]] = {
    ID: lambda name, i: f"{name}-{i:07d}",
    **dict.fromkeys((NAME, CHOSEN), lambda name, i: f"{name}_{i % 7}"),
    APP_VERSION: lambda name, i: f"{i % 7}.{i % 10}",
    CHANNEL: lambda name, i: CHANNELS[i % len(CHANNELS)],
    r"^[0-9a-f]{32}$": lambda name, i: ids.message_id("price_drop", name, str(i)),
    r"^[A-Z]{2}$": lambda name, i: ("CN", "DE", "IN", "US")[i % 4],
    LOCALE: lambda name, i: ("zh-CN", "de", "en-IN", "en")[i % 4],
    ADDRESS: lambda name, i: f"sandbox-token-{i:07d}",
    r"^[^\x00-\x1f\x7f]{1,256}$": lambda name, i: f"{name}-{i:07d}",
    r"^[A-Za-z0-9_.:-]{1,64}$": lambda name, i: ("once", "2026-11-15", "2026-W46")[i % 3],
}

_BY_NAME: dict[str, Callable[[_Row], Values]] = {
    "user_id": lambda row: [user_name(u) for u in row.user],
    "ordinal": lambda row: list(row.user),
    "campaign_id": lambda row: list(row.campaign),
    "message_id": lambda row: list(row.message),
    "dispatch_id": lambda row: [
        ids.dispatch_id(m, "fcm", f"sandbox-token-{i:07d}") for i, m in enumerate(row.message)
    ],
    "material_id": lambda row: [f"{c}_{MATERIALS[i % 4]}" for i, c in enumerate(row.campaign)],
    "event_type": lambda row: [EVENT_TYPES[i % 4] for i in range(row.n)],
    "item": lambda row: [MATERIALS[(i // 4) % 4] for i in range(row.n)],
    "timezone": lambda row: row.pick(TIMEZONES),
    "signup_ts": lambda row: row.at(days=-100),
    "registered_ts": lambda row: row.at(days=-10),
    "updated_ts": lambda row: row.at(days=-5),
    "membership_level": lambda row: row.rng.integers(0, 4, row.n).tolist(),
    "device_vendor": lambda row: row.pick(("huawei", "xiaomi", "apple", "samsung")),
    "channels": lambda row: [["fcm", "email"][: 1 + i % 2] for i in range(row.n)],
    "cluster": lambda row: [i % 3 for i in range(row.n)],
    "fields": lambda row: [json.dumps({"item": MATERIALS[i % 4]}) for i in range(row.n)],
}


def _user_preferences(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    pairs = (("topic", "promo"), ("topic", "news"), ("channel", "fcm"), ("channel", "sms"))
    return {
        "kind": [pairs[i % 4][0] for i in range(row.n)],
        "name": [pairs[i % 4][1] for i in range(row.n)],
        "is_opted_in": (row.rng.random(row.n) < 0.85).tolist(),
    }


def _user_events(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    late = row.rng.choice([0, 0, 0, 0, 0, 0, 0, -1, -2, -3], row.n).tolist()
    return {
        "event_id": [f"e-{row.ds}-{i:07d}" for i in range(row.n)],
        "event_ts": [instant + timedelta(days=days) for instant, days in zip(row.at(), late, strict=True)],
        "value": [
            float(np.round(row.rng.gamma(2.0, 20.0), 2)) if kind == "purchase" else None
            for kind in columns["event_type"]
        ],
    }


def _user_endpoints(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    return {
        "channel": [("fcm", "email")[i % 2] for i in range(row.n)],
        "address": [
            (f"sandbox-token-{u:07d}", f"u{u:07d}@example.org")[i % 2] for i, u in enumerate(row.user)
        ],
        "is_active": [i % 10 != 9 for i in range(row.n)],
    }


def _push_history(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    return {
        "sent_ts": row.at(),
        "opened_ts": [t if i % 5 == 0 else None for i, t in enumerate(row.at(seconds=900))],
        "channel": ["fcm"] * row.n,
    }


def _push_receipts(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    return {
        "sent_ts": row.at(days=1, seconds=14_400),
        "receipt_ts": row.at(days=1, seconds=15_000),
        "channel": ["fcm"] * row.n,
    }


def _user_pushes(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    return {"sent_ts": row.at(), "at_ts": row.at(seconds=600), "channel": ["fcm"] * row.n}


def _user_features(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    days, week, month = (np.sort(row.rng.integers(0, 30, (row.n, 3)), axis=1)).T
    return {
        "gender": row.pick(("f", "m", None)),
        "age_years": row.rng.integers(18, 80, row.n).tolist(),
        "country": row.pick(("CN", "DE", "IN", "US")),
        "locale": row.pick(("zh-CN", "de", "en-IN", "en")),
        "n_events_1d": days.tolist(),
        "n_events_7d": week.tolist(),
        "n_events_28d": month.tolist(),
        "n_opens_28d": [0] * row.n,
        **dict.fromkeys(("is_suppressed", "is_timezone_unknown"), [False] * row.n),
        "opted_out_topics": [[]] * row.n,
        **dict.fromkeys(("quiet_start", "quiet_end"), [None] * row.n),
    }


def _bitmap_index(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    kinds = [("value", "slice", "known")[i % 3] for i in range(row.n)]
    members = [[(7 * i + k) % 60_000 for k in range(i % 9)] for i in range(row.n)]
    return {
        "field": [f"field_{i // 3}" for i in range(row.n)],
        "kind": kinds,
        "block": [0] * row.n,
        "encoding": ["roaring"] * row.n,
        "n_bytes": [len(roaring(m)) for m in members],
        "value": ["camera" if kind == "value" else None for kind in kinds],
        "bit": [0 if kind == "slice" else None for kind in kinds],
        "offset": [0 if kind == "slice" else None for kind in kinds],
        "cardinality": [len(m) for m in members],
        "bitmap": [roaring(m) for m in members],
    }


def _audience_members(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    members = [list(range(i % 50)) for i in range(row.n)]
    return {
        "audience": [f"audience_{i}" for i in range(row.n)],
        "shard": [0] * row.n,
        "cardinality": [len(m) for m in members],
        "bitmap": [roaring(m) for m in members],
    }


def _user_lists(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    members = [list(range(i % 50)) for i in range(row.n)]
    return {
        "shard": list(range(row.n)),
        "cardinality": [len(m) for m in members],
        "bitmap": [roaring(m) for m in members],
    }


def _decisions(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    outcomes = ("sent", "not_chosen", "holdout_global", "no_value", "opted_out")
    first = row.day + timedelta(hours=28)
    choices = []
    for i, user in enumerate(row.user):
        entries = []
        for k in range(2):
            outcome = outcomes[(i + k) % len(outcomes)]
            sent = outcome == "sent"
            campaign = CAMPAIGNS[(i + k) % 4]
            entries.append(
                {
                    "campaign_id": campaign,
                    "message_id": ids.message_id(campaign, user_name(user), row.ds),
                    "occurrence": row.ds,
                    "material_id": f"{campaign}_camera",
                    "material_propensity": 0.5,
                    "eligible": b"\xc0",
                    "slot": first + timedelta(hours=(5 * i + k) % 24) if sent else None,
                    "slot_propensity": None,
                    "channel": "fcm" if sent else None,
                    "outcome": outcome,
                    "p_open": 0.05,
                    "value_micros": 2_500,
                    "price_micros": 100,
                    "arm": "treated",
                    "is_explore": False,
                }
            )
        choices.append(entries)
    return {"choices": choices}


def _dispatch_manifest(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    hours = row.rng.integers(28, 52, row.n).tolist()
    send = [row.day + timedelta(hours=h, seconds=s % 3600) for h, s in zip(hours, row.second, strict=True)]
    start = [row.day + timedelta(hours=h) for h in hours]
    return {
        "send_ts": send,
        "not_before": start,
        "not_after": [t + timedelta(hours=2) for t in start],
        "channel": ["fcm"] * row.n,
        "topic": ["promo"] * row.n,
        "locale": ["en"] * row.n,
        "quiet_start": [22] * row.n,
        "quiet_end": [8] * row.n,
        "ttl_s": [43_200] * row.n,
        "occurrence": [f"{row.ds}.{i}" for i in range(row.n)],
        "template_id": list(row.campaign),
    }


def _catalog_snapshot(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    names = [f"document_{i}" for i in range(row.n)]
    kinds = zip(names, columns["kind"], strict=True)
    return {"id": names, "body": [json.dumps({"id": i, "kind": kind}, sort_keys=True) for i, kind in kinds]}


def _campaign_effects(row: _Row, columns: dict[str, Values]) -> dict[str, Values]:
    return {
        "campaign_id": [f"campaign_{i}" for i in range(row.n)],
        "arm": row.pick(("treated", "holdout")),
        "channel": row.pick(CHANNELS),
    }


_ADAPT: dict[str, Callable[[_Row, dict[str, Values]], dict[str, Values]]] = {
    "user_preferences": _user_preferences,
    "user_events": _user_events,
    "user_endpoints": _user_endpoints,
    "registered_addresses": _user_endpoints,
    "push_history": _push_history,
    "push_receipts": _push_receipts,
    "user_pushes": _user_pushes,
    "user_features": _user_features,
    "bitmap_index": _bitmap_index,
    "bitmap_days": _bitmap_index,
    "audience_members": _audience_members,
    "holdout_members": _user_lists,
    "user_lists": _user_lists,
    "decisions": _decisions,
    "dispatch_manifest": _dispatch_manifest,
    "dispatch_fallover": _dispatch_manifest,
    "dispatch_intake": _dispatch_manifest,
    "delivery_ledger": lambda row, columns: {
        "sent_ts": row.at(days=1, seconds=14_400),
        "channel": ["fcm"] * row.n,
        "n_attempts": [1] * row.n,
    },
    "catalog_snapshot": _catalog_snapshot,
    "campaign_effects": _campaign_effects,
    "effects_mart": _campaign_effects,
    "intake_usage": _campaign_effects,
    "reach": lambda row, columns: {"app_version": [f"1.{i}" for i in range(row.n)]},
}
