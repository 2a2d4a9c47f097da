"""What people chose since a plan, of which imports are one source."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from angelia.users.since_plan.new_choices import NewChoices
from angelia.users.suppressions import Guards

DS, NEXT = "2026-11-14", "2026-11-15"
SINCE = datetime(2026, 11, 15, tzinfo=UTC)
FACTS = ("user_id", "kind", "name", "is_opted_in")


def imported(lake: Lake, ds: str, *rows: tuple[str, str, str, bool, int]) -> None:
    """File preferences under a day: facts, and minutes since the plan's closed day."""
    table = [
        {**dict(zip(FACTS, facts, strict=True)), "updated_ts": SINCE + timedelta(minutes=minutes)}
        for *facts, minutes in rows
    ]
    with lake.attempt("user_preferences", ds=ds) as attempt:
        schema = arrow.schema(dataset("user_preferences"))
        attempt.write(pa.Table.from_pylist(table, schema=schema), "part-0000.parquet")
        attempt.publish()


def test_imported_refusals_hold_before_the_next_night(lake: Lake) -> None:
    guards = Guards(lake, DS, lambda: 0)

    def blocked() -> list[Any]:
        assert asyncio.run(guards.refresh())
        return guards.blocked(["c"] * 3, ["u1", "u2", "u3"], "fcm", ["a"] * 3, ["promo", "promo", ""])

    imported(lake, DS, ("u1", "topic", "promo", False, -1))
    assert blocked() == [None] * 3
    imported(
        lake, NEXT,
        ("u1", "topic", "promo", False, -1), ("u2", "topic", "promo", False, 0),
        ("u3", "channel", "fcm", False, 5),
    )  # fmt: skip
    assert blocked() == [None, "suppressed", "suppressed"]
    version = guards.version
    assert blocked() == [None, "suppressed", "suppressed"]
    assert guards.version == version, "nothing came in"
    imported(lake, NEXT, ("u2", "topic", "promo", True, 1), ("u1", "topic", "promo", True, 1))
    assert blocked() == [None, None, "suppressed"], "a refusal ends by a later yes only"


def test_of_two_sources_the_later_word_holds(lake: Lake) -> None:
    choices = NewChoices(lake, DS)
    word = {"user_id": "u1", "kind": "topic", "name": "promo", "is_opted_in": False}
    choices.take([word | {"updated_ts": SINCE + timedelta(minutes=3)}])
    imported(lake, NEXT, ("u1", "topic", "promo", True, 2), ("u1", "channel", "sms", False, 2))
    assert choices.read_imported()
    assert choices.refuses("u1", "topic", "promo")
    assert choices.refuses("u1", "channel", "sms")
    imported(lake, NEXT, ("u1", "topic", "promo", True, 4))
    assert choices.read_imported()
    assert not choices.refuses("u1", "topic", "promo")
    assert not choices.read_imported()
    word = {"user_id": "u1", "kind": "channel", "name": "sms", "is_opted_in": True}
    choices.take([word | {"updated_ts": SINCE + timedelta(minutes=5)}])
    assert not choices.refuses("u1", "channel", "sms")
    # Suppressions hold it beside the log, and may open it again.
    choices.take([word | {"is_opted_in": False, "updated_ts": SINCE + timedelta(minutes=6)}])
    assert not choices.refuses("u1", "channel", "sms")
