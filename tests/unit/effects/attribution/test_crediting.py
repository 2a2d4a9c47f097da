"""Last touch: small cases by hand, and any case against a loop over all pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.contracts.core import TIMESTAMP
from angelia.effects.attribution.crediting import CREDIT_TABLES, make_credits, windows
from angelia.effects.tables import make_table, require_checks
from angelia.intake.dispatching import sample_night
from angelia.lake import Lake

START = datetime(2026, 11, 15, 4, tzinfo=UTC)
ROLES = (
    "CREATE OR REPLACE TEMP TABLE attribution_roles AS SELECT * FROM "
    "(VALUES (1::UTINYINT, 'open', 'open'), (2::UTINYINT, 'conversion', 'purchase')) "
    "AS r(kind, role, event_type)"
)
# person, hours from START of the delivery, of the tap (None: none), open window, conversion window
Touch = tuple[str, float | None, float | None, int, int]
Event = tuple[str, str, float]  # person, event type, hours from START


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as own:
        own.execute("SET TimeZone = 'UTC'; SET threads = 1")
        yield own


def at(hours: float | None) -> datetime | None:
    return None if hours is None else START + timedelta(hours=hours)


def credit(
    connection: duckdb.DuckDBPyConnection, touches: Sequence[Touch], events: Sequence[Event]
) -> dict[tuple[str, int], int]:
    """Return (role, number of the event) -> number of the touch, both from zero."""
    rows = {
        "touch": pa.array(range(len(touches)), pa.int64()),
        "user_id": pa.array([t[0] for t in touches], pa.string()),
        "touch_ts": pa.array([at(t[1]) for t in touches], TIMESTAMP),
        "opened_ts": pa.array([at(t[2]) for t in touches], TIMESTAMP),
        "touches_until": pa.array([at(150)] * len(touches), TIMESTAMP),
        "open_hours": pa.array([t[3] for t in touches], pa.int32()),
        "conversion_hours": pa.array([t[4] for t in touches], pa.int32()),
        "conversion": pa.array(["purchase"] * len(touches), pa.string()),
    }
    happened = {
        "event_id": pa.array([f"e{i}" for i in range(len(events))], pa.string()),
        "user_id": pa.array([e[0] for e in events], pa.string()),
        "event_type": pa.array([e[1] for e in events], pa.string()),
        "event_ts": pa.array([at(e[2]) for e in events], TIMESTAMP),
        "value": pa.array([float(i) for i in range(len(events))], pa.float64()),
    }
    # Each event arrives twice: once may be credited.
    twice = pa.concat_tables([pa.table(happened)] * 2)
    connection.register("attribution_touches", pa.table(rows))
    connection.register("user_events", twice)
    connection.execute(ROLES)
    make_credits(connection, START, at(330))
    for name in CREDIT_TABLES[1:]:
        assert require_checks(connection, name, {}) == []
    credits = connection.execute(
        "SELECT if(is_open, 'open', 'conversion'), amount::INTEGER, touch FROM attribution_credits"
    ).fetchall()
    assert len(credits) == len({(role, event) for role, event, _ in credits})
    return {(role, event): touch for role, event, touch in credits}


@pytest.mark.parametrize(
    ("touches", "events", "credited"),
    [
        # The window begins with the delivery and ends before its last instant.
        ([("a", 1, None, 24, 24)], [("a", "purchase", 1)], {("conversion", 0): 0}),
        ([("a", 1, None, 24, 24)], [("a", "purchase", 25)], {}),
        ([("a", 1, None, 24, 24)], [("a", "purchase", 24.999)], {("conversion", 0): 0}),
        ([("a", 1, None, 24, 24)], [("a", "purchase", 0.999)], {}),
        # Somebody else's event, and one of another type, are nobody's.
        ([("a", 1, None, 24, 24)], [("b", "purchase", 2), ("a", "view", 2)], {}),
        # The later of two messages takes it, whichever channel or campaign.
        ([("a", 1, None, 24, 24), ("a", 3, None, 24, 24)], [("a", "purchase", 4)], {("conversion", 0): 1}),
        ([("a", 1, None, 24, 24), ("a", 3, None, 24, 24)], [("a", "purchase", 2)], {("conversion", 0): 0}),
        # A short window that is over leaves the credit to the longer one of the message before.
        ([("a", 1, None, 24, 48), ("a", 3, None, 24, 2)], [("a", "purchase", 9)], {("conversion", 0): 0}),
        # A window of no hours takes nothing, and takes nothing away.
        ([("a", 1, None, 24, 24), ("a", 3, None, 0, 0)], [("a", "purchase", 4)], {("conversion", 0): 0}),
        # A tap is a touch: the older message, tapped last, gets what follows.
        ([("a", 1, 5, 24, 24), ("a", 3, None, 24, 24)], [("a", "purchase", 6)], {("conversion", 0): 0}),
        # At the same instant the higher number counts.
        ([("a", 1, None, 24, 24), ("a", 1, None, 24, 24)], [("a", "open", 2)], {("open", 0): 1}),
        # What was never shown touches nobody, unless it was tapped.
        ([("a", None, None, 24, 24)], [("a", "open", 2)], {}),
        ([("a", None, 1, 24, 24)], [("a", "open", 2)], {("open", 0): 0}),
        # Too late for credit: the night's five days are over.
        ([("a", 150, None, 24, 24)], [("a", "open", 151)], {}),
        # Events are credited a week at a time, and a window reaches from one week into the next.
        (
            [("a", 149, None, 24, 24), ("b", 149, None, 24, 8)],
            [
                ("a", "purchase", 167.5),
                ("a", "purchase", 168),
                ("a", "purchase", 172),
                ("b", "purchase", 168),
            ],
            {("conversion", 0): 0, ("conversion", 1): 0, ("conversion", 2): 0},
        ),
        # Roles have windows of their own.
        (
            [("a", 1, None, 2, 24)],
            [("a", "open", 2), ("a", "open", 4), ("a", "purchase", 4)],
            {("open", 0): 0, ("conversion", 2): 0},
        ),
    ],
)
def test_last_touch_by_hand(
    connection: Any, touches: list[Touch], events: list[Event], credited: dict[tuple[str, int], int]
) -> None:
    assert credit(connection, touches, events) == credited


def test_an_event_counts_once_at_its_first_instant(connection: Any) -> None:
    rows = [  # id, person, hours, value
        ("once", "a", 1, 1.0),
        ("twice", "a", 3, 8.0),
        ("twice", "b", 2, 2.0),  # the first of its id
        (None, "a", 5, 4.0),
        (None, "a", 5, 4.0),  # without an id nothing is a copy
        ("view", "a", 5, float("nan")),
    ]
    happened = {
        "event_id": pa.array([row[0] for row in rows], pa.string()),
        "user_id": pa.array([row[1] for row in rows], pa.string()),
        "event_type": pa.array(["purchase"] * len(rows), pa.string()),
        "event_ts": pa.array([at(row[2]) for row in rows], TIMESTAMP),
        "value": pa.array([row[3] for row in rows], pa.float64()),
    }
    connection.register("user_events", pa.table(happened))
    connection.execute(ROLES)
    make_table(connection, "attribution_events", {"touches_from": START, "credits_until": at(330)})
    events = connection.execute("SELECT user_id, amount FROM attribution_events").fetchall()
    assert sorted(events) == [("a", 0.0), ("a", 1.0), ("a", 4.0), ("a", 4.0), ("b", 2.0)]


def naive(touches: Sequence[Touch], events: Sequence[Event]) -> dict[tuple[str, int], int]:
    """The rule in words: of all touches with an open window the latest, then the highest."""
    credited = {}
    for i, (person, kind, hours) in enumerate(events):
        role = {"open": "open", "purchase": "conversion"}.get(kind)
        if role is None:
            continue
        candidates = [
            (moment, n)
            for n, (owner, delivered, tapped, opens, converts) in enumerate(touches)
            for moment in (delivered, tapped)
            if owner == person and moment is not None and moment < 150
            and moment <= hours < moment + (opens if role == "open" else converts)
        ]  # fmt: skip
        if candidates:
            credited[role, i] = max(candidates)[1]
    return credited


HOURS = st.integers(0, 60).map(float)
PEOPLE = st.sampled_from("ab")
WINDOW = st.sampled_from([0, 1, 5, 24])
TOUCHES = st.lists(
    st.tuples(PEOPLE, st.none() | HOURS, st.none() | HOURS, WINDOW, WINDOW), min_size=1, max_size=8
)
EVENTS = st.lists(st.tuples(PEOPLE, st.sampled_from(["open", "purchase", "view"]), HOURS), max_size=8)


@settings(max_examples=40, deadline=None)
@given(touches=TOUCHES, events=EVENTS)
def test_no_event_is_credited_twice_and_the_last_wins(
    connection: Any, touches: list[Touch], events: list[Event]
) -> None:
    assert credit(connection, touches, events) == naive(touches, events)


def test_a_template_that_goes_by_itself_has_a_campaigns_windows(lake: Lake) -> None:
    template = sample_night.TEMPLATE
    direct = [
        {**template, "direct": {"topic": "promo"}},
        {**template, "id": "bill", "direct": {"topic": "orders", "guarantee": "at_least_once"}},
    ]
    sample_night.make(lake, 1, "2026-11-14", documents=[*sample_night.DOCUMENTS[:1], *direct])
    with duckdb.connect() as connection:
        windows(connection, lake, lake.require("catalog_snapshot", ds="2026-11-14"), "purchase")
        rows = connection.sql("SELECT campaign_id, open_hours FROM attribution_campaigns").fetchall()
    assert rows == [("marketing__plain", 24), ("transactional__bill", 0)]
