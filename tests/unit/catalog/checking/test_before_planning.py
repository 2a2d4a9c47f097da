"""What keeps a night from sending anything is named before the night is solved."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from angelia.catalog.checking.before_planning import before_planning
from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from tests.planned_night import CHANNEL, EVERYONE, POLICY, SALE, SHOE, TEMPLATE

DAY = date(2026, 11, 15)
IDLE = SALE | {"id": "idle", "send_window": {"start": 3, "end": 8}}


def named(*raws: dict[str, Any], running: tuple[str, ...] = ("sale",), **known: Any) -> list[str]:
    by_key = {
        (raw["kind"], raw["id"]): raw for raw in (POLICY, TEMPLATE, SHOE, EVERYONE, CHANNEL, SALE, *raws)
    }
    catalog = catalog_of(StoredDocument(parse_document(raw), 1) for raw in by_key.values())
    return [str(one) for one in before_planning(catalog, running, DAY, **known)]


def test_a_night_that_can_send_has_no_contradictions() -> None:
    assert named(sizes={"everyone": 1}, hours_left=1, capacity={"fcm": 1}) == []


@pytest.mark.parametrize(
    ("raws", "known", "says"),
    [
        (
            (),
            {"sizes": {"everyone": 0}},
            "campaign sale: audience everyone holds nobody: nothing will be sent",
        ),
        (
            (),
            {"hours_left": 0},
            "the night: all planned hours have passed: nothing will be sent; plan the next",
        ),
        ((), {"capacity": {"fcm": 0}}, "campaign sale: channels: fcm may send 0 in every planned hour"),
        (
            (CHANNEL | {"capacity_per_hour": 0},),
            {},
            "channel fcm: capacity_per_hour: 0: nothing will be sent",
        ),
        ((SALE | {"holdout_pct": 100.0},), {}, "campaign sale: holdout_pct: 100 % are held out: nobody"),
        (
            (SALE | {"value_per_open": 0.0},),
            {},
            "campaign sale: value_per_open: an open worth 0 never covers its cost",
        ),
        (
            (POLICY | {"caps": [{"messages": 0, "days": 7}]},),
            {},
            "policy default: caps[0].messages: 0 messages: nothing will be sent; give at least 1",
        ),
        (
            (
                POLICY | {"quiet_hours": {"start": 20, "end": 9}},
                SALE | {"send_window": {"start": 6, "end": 9}},
            ),
            {},
            "campaign sale: send_window: 6 to 9 lies within the policy's quiet hours (20 to 9): nothing will "
            "be sent; move the window, or the quiet hours",
        ),
    ],
)
def test_each_contradiction_is_one_line_with_its_fix(raws: Any, known: Any, says: str) -> None:
    (line,) = named(*raws, **known)
    assert line.startswith(says)
    assert "; " in line


def test_only_what_runs_that_night_is_looked_at() -> None:
    quiet = POLICY | {"quiet_hours": {"start": 22, "end": 9}}
    assert named(quiet, IDLE) == []
    assert len(named(quiet, IDLE, running=("idle", "sale"))) == 1
    assert len(named(quiet, IDLE, CHANNEL | {"capacity_per_hour": 0}, running=())) == 0


def test_a_doubt_that_sends_something_is_not_named() -> None:
    assert named(CHANNEL | {"max_per_vendor_day": {"oppo": 0}}) == []
