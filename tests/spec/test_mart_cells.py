"""The mart's cells of a drawn night against a loop over its pairs."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import duckdb
import pyarrow as pa

from angelia.contracts.planned.pairs import PairWords, number_pairs
from angelia.effects.tables import make_table

START = datetime(2026, 11, 15, 4, tzinfo=UTC)
NIGHT = {
    "ds": "2026-11-14", "plan_start": START, "window_end": START + timedelta(hours=48),
    "first_touch": 1, "last_touch": 400,
}  # fmt: skip
CONVERSIONS = {"plain": "purchase", "other": "signup"}  # `unlisted` stands in no catalog
LEFT_OUT = ("suppressed", "opted_out", "unreachable")
OUTCOMES = ("sent", "sent", "not_chosen", "capped", "holdout_global", "holdout_campaign", *LEFT_OUT)
FLAGS = ("is_delivered", "is_displayed", "is_bounced", "has_unsubscribed", "has_complained")


def test_the_cells_are_those_of_a_loop_over_pairs() -> None:
    connection = duckdb.connect()
    people, touches, gains, conversions = drawn(Random(17))
    connection.execute("SET TimeZone = 'UTC'")
    words = register(connection, people, touches, gains, conversions)
    make_table(connection, "effects_mart", NIGHT | words)
    table = connection.sql("SELECT * FROM effects_mart").to_arrow_table().to_pylist()
    names = ("campaign_id", "audience", "side", "arm", "material_id", "channel", "device_vendor", "country",
             "tenure", "send_hour")  # fmt: skip
    cells = {
        tuple(row[name] for name in names): {
            name: row[name] for name in row if name[:2] == "n_" or "value" in name
        }
        for row in table
    }
    assert len(cells) == len(table) > 100
    assert cells == looped(people, touches, gains, conversions)


def drawn(rng: Random) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]], dict[int, Any], list[Any]]:
    """Draw people with their choices, touches by message, gains by touch, and conversions."""
    people, touches, gains = [], {}, {}
    for i in range(150):
        features = None if i % 10 == 0 else {
            "device_vendor": rng.choice(["apple", None]), "country": rng.choice(["DE", None]),
            "days_since_signup": rng.choice([None, 0, 28, 29]),
        }  # fmt: skip
        choices = []
        for campaign in ("plain", "other", "unlisted"):
            outcome, message = rng.choice(OUTCOMES), f"{campaign}-{i}"
            slot = START + timedelta(hours=rng.randrange(2))
            choices.append({
                "campaign_id": campaign, "message_id": message, "material_id": rng.choice("ab"),
                "channel": "fcm", "slot": slot, "outcome": outcome, "arm": rng.choice(["x", None]),
            })  # fmt: skip
            if outcome == "sent" and rng.random() < 0.8:
                touch = 2 + len(touches)
                touches[message] = {
                    "touch": touch, "message_id": message, "channel": rng.choice(["fcm", "email"]),
                    "sent_ts": slot + timedelta(minutes=70), "opened_ts": rng.choice([None, slot]),
                    **{flag: rng.random() < 0.5 for flag in FLAGS},
                }  # fmt: skip
                if rng.random() < 0.5:
                    gains[touch] = rng.random() < 0.5, rng.randrange(3), float(rng.randrange(9))
        people.append({"user_id": f"u{i}", "ordinal": i, "choices": choices, "features": features})
    # A message of another night's touch is none of this night's, though its number is known.
    touches["plain-1"] = {"touch": 401, "message_id": "plain-1", "channel": "email", "sent_ts": START,
                          "opened_ts": None, **dict.fromkeys(FLAGS, True)}  # fmt: skip
    conversions = [
        (f"u{rng.randrange(150)}", rng.choice(["purchase", "signup", "view"]), hours, float(rng.randrange(9)))
        for hours in [-1, 0, 47, 48] * 40
    ]
    return people, touches, gains, conversions


def register(
    connection: duckdb.DuckDBPyConnection,
    people: list[dict[str, Any]],
    touches: dict[str, dict[str, Any]],
    gains: dict[int, Any],
    conversions: list[Any],
) -> dict[str, list[str]]:
    """Register what the mart reads; return the words of its numbers."""
    decisions = [{name: person[name] for name in ("user_id", "ordinal", "choices")} for person in people]
    features = [{"ordinal": p["ordinal"], **p["features"]} for p in people if p["features"]]
    happened = [
        {"user_id": user, "event_type": kind, "event_ts": START + timedelta(hours=hours), "amount": amount}
        for user, kind, hours, amount in conversions
    ]
    credited = [
        {"touch": touch, "is_influenced": a, "n_conversions": b, "amount": c}
        for touch, (a, b, c) in gains.items()
    ]
    windows = [{"campaign_id": c, "audience": "all", "conversion": kind} for c, kind in CONVERSIONS.items()]
    decided = pa.Table.from_pylist(decisions)
    words = PairWords().with_words_of(decided)
    connection.register("decided_pairs", number_pairs(decided, words))
    for name, rows in {
        "decisions": decisions, "user_features": features, "attribution_conversions": happened,
        "attribution_gains": credited, "attribution_campaigns": windows,
        "attribution_touches": list(touches.values()),
    }.items():  # fmt: skip
        connection.register(name, pa.Table.from_pylist(rows))
    return words.by_kind()


def looped(
    people: list[dict[str, Any]],
    touches: dict[str, dict[str, Any]],
    gains: dict[int, Any],
    conversions: list[Any],
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Count each pair in its cell, by the words of the mart's contract."""
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for person in people:
        own = person["features"] or dict.fromkeys(("device_vendor", "country", "days_since_signup"))
        days = own["days_since_signup"]
        tenure = "unknown" if days is None else "new" if days <= 28 else "known"
        for pair in person["choices"]:
            if pair["outcome"] in LEFT_OUT:
                continue
            is_sent = pair["outcome"] == "sent"
            touch = touches.get(pair["message_id"]) if is_sent else None
            touch = touch if touch and touch["touch"] <= NIGHT["last_touch"] else None
            hour = touch["sent_ts"].replace(minute=0) if touch else pair["slot"] if is_sent else None
            side = pair["outcome"] if pair["outcome"].startswith("holdout") else "treated"
            name = pair["campaign_id"]
            cell = (
                name, "all" if name in CONVERSIONS else None, side, pair["arm"],
                pair["material_id"] if is_sent else None,
                touch["channel"] if touch else pair["channel"] if is_sent else None,
                own["device_vendor"], own["country"], tenure, hour,
            )  # fmt: skip
            influenced, n_conversions, value = (
                gains.get(touch["touch"], (False, 0, 0.0)) if touch else (False, 0, 0.0)
            )
            theirs = [
                amount for user, kind, hours, amount in conversions
                if user == person["user_id"] and kind == CONVERSIONS.get(name) and 0 <= hours < 48
            ]  # fmt: skip
            figures = {
                "n_pairs": 1, "n_planned": is_sent, "n_sent": bool(touch),
                "n_delivered": bool(touch) and touch["is_delivered"],
                "n_displayed": bool(touch) and touch["is_displayed"],
                "n_bounced": bool(touch) and touch["is_bounced"],
                "n_opened": bool(touch) and touch["opened_ts"] is not None,
                "n_influenced": bool(touch) and influenced and touch["opened_ts"] is None,
                "n_conversions": n_conversions, "conversion_value": value,
                "n_unsubscribed": bool(touch) and touch["has_unsubscribed"],
                "n_complained": bool(touch) and touch["has_complained"],
                "n_pairs_converted": bool(theirs), "pair_value": sum(theirs),
            }  # fmt: skip
            sums = cells.setdefault(cell, defaultdict(int))
            for figure, count in figures.items():
                sums[figure] += count
    return cells
