"""Who of a batch is sent what: each rule at its boundary, without a lake."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.batches import IntakeSend
from angelia.intake.dispatching.caps import CONTENDED, CountedMessage, cap
from angelia.intake.dispatching.deciding import HOUR_US, Verdicts, decide
from angelia.intake.dispatching.people import Contents

NOON = int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp() * 1e6)
DAY_US = 24 * HOUR_US


def contents(**changes: dict[str, Any]) -> Contents:
    """Return the sample catalog with changes to documents, by id."""
    raws = [{**raw, **changes.get(raw["id"], {})} for raw in sample_night.DOCUMENTS]
    return Contents(catalog_of(StoredDocument(parse_document(raw), 1) for raw in raws))


def message(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "client": "shop", "id": f"{number:032x}", "campaign_id": "sale", "user_id": "u1",
        "class": "marketing",
        "channels": "", "variables": "{}", "priority": 1, "send_us": NOON, "expires_us": 0, **changes,
    }  # fmt: skip


def verdicts_of(catalog: Contents, *rows: dict[str, Any], now: int = NOON, **person: Any) -> Verdicts:
    known = {
        "user_id": "u1", "ordinal": 1, "timezone": "UTC", "locale": "en", "device_vendor": None,
        "opted_out_topics": [], "is_suppressed": False, **person,
    }  # fmt: skip
    return decide(catalog, {"u1": known}, {("u1", "fcm"): "a"}, rows or [message()], now)


def outcome(verdicts: Verdicts) -> str | tuple[str, int]:
    if verdicts.chosen:
        return "chosen"
    if verdicts.postponed:
        (_, until, why), *_ = verdicts.postponed
        return why, (until - NOON) // HOUR_US
    return verdicts.refused[0][1]


@pytest.mark.parametrize(
    ("changes", "row", "now", "expected"),
    [
        ({}, {}, NOON + 12 * HOUR_US - 1, "chosen"),
        ({}, {}, NOON + 12 * HOUR_US, "expired"),
        ({}, {"expires_us": NOON + 1}, NOON + 1, "expired"),
        ({"sale": {"end_date": "2026-11-28"}}, {}, NOON, "chosen"),
        ({"sale": {"end_date": "2026-11-27"}}, {}, NOON, "campaign_not_running"),
        ({"sale": {"start_date": "2026-11-29"}}, {}, NOON, "campaign_not_running"),
        ({"sale": {"send_window": {"start": 12, "end": 13}}}, {}, NOON, "chosen"),
        ({"sale": {"send_window": {"start": 15, "end": 18}}}, {}, NOON, ("send_window", 3)),
        ({"sale": {"send_window": {"start": 9, "end": 12}}}, {}, NOON, "send_window"),
        ({"sale": {"send_window": {"start": 9, "end": 12}, "ttl_hours": 22}}, {}, NOON, ("send_window", 21)),
        ({"default": {"quiet_hours": {"start": 12, "end": 14}}}, {}, NOON, ("quiet_hours", 2)),
        ({"default": {"quiet_hours": {"start": 13, "end": 14}}}, {}, NOON, "chosen"),
        ({"default": {"quiet_hours": {"start": 12, "end": 14}}}, {"expires_us": NOON + HOUR_US}, NOON,
         "quiet_hours"),
        ({"default": {"holdout": {"share_pct": 100, "salt": "h"}}}, {}, NOON, "holdout_global"),
        ({"sale": {"holdout_pct": 100}}, {}, NOON, "holdout_campaign"),
        ({"plain": {"valid_until": "2026-11-27"}}, {}, NOON, "no_material"),
        ({"fcm": {"enabled": False}}, {}, NOON, "unreachable"),
        ({}, {"variables": '{"item": true}'}, NOON, "variables_not_plain"),
    ],
)  # fmt: skip
def test_each_rule_at_its_boundary(
    changes: dict[str, Any], row: dict[str, Any], now: int, expected: object
) -> None:
    if "plain" in changes:  # a template has this id, too
        given = [{**raw, **(changes["plain"] if raw["kind"] == "material" else {})}
                 for raw in sample_night.DOCUMENTS]  # fmt: skip
        catalog = Contents(catalog_of(StoredDocument(parse_document(raw), 1) for raw in given))
    else:
        catalog = contents(**changes)
    assert outcome(verdicts_of(catalog, message(**row), now=now)) == expected


def test_quiet_hours_are_the_persons_own() -> None:
    catalog = contents(default={"quiet_hours": {"start": 20, "end": 8}}, sale={"ttl_hours": 13})
    assert outcome(verdicts_of(catalog)) == "chosen"
    assert outcome(verdicts_of(catalog, timezone="Asia/Shanghai")) == ("quiet_hours", 12)  # it is 20:00 there


def test_hours_a_person_chose_join_those_of_all() -> None:
    catalog = contents(default={"quiet_hours": {"start": 20, "end": 8}}, sale={"ttl_hours": 13})
    assert outcome(verdicts_of(catalog, quiet_start=8, quiet_end=14)) == ("quiet_hours", 2)
    (sent,) = verdicts_of(catalog, quiet_start=8, quiet_end=9).chosen
    assert (sent.row["quiet_start"], sent.row["quiet_end"]) == (20, 9)
    assert outcome(verdicts_of(contents(), quiet_start=12, quiet_end=13)) == ("quiet_hours", 1)


def test_a_clients_variables_stand_before_the_materials() -> None:
    (chosen,) = verdicts_of(contents(), message(variables='{"item": "lamp", "campaign_id": "x"}')).chosen
    assert '"item": "lamp"' in chosen.row["fields"]
    assert '"campaign_id": "sale"' in chosen.row["fields"]


def counted(hours: float, campaign: str = "sale") -> CountedMessage:
    return CountedMessage("u1", campaign, f"{hours}", NOON + round(hours * HOUR_US))


def own(hours: float, is_settled: bool) -> tuple[IntakeSend, bool]:
    return IntakeSend(f"o{hours}", "shop", "x", "u1", "sale", NOON + round(hours * HOUR_US)), is_settled


@pytest.mark.parametrize(
    ("policy", "nightly", "sends", "expected"),
    [
        ({"caps": [{"messages": 2, "days": 1}]}, [counted(-23.9)], [], "chosen"),
        ({"caps": [{"messages": 2, "days": 1}]}, [counted(-23.9), counted(-1)], [], "capped"),
        ({"caps": [{"messages": 2, "days": 1}]}, [counted(-24), counted(-1)], [], "chosen"),
        ({"caps": [{"messages": 1, "days": 1}]}, [counted(5)], [], "capped"),
        ({"caps": [{"messages": 1, "days": 1}]}, [counted(-1, "order")], [], "chosen"),
        ({"caps": [{"messages": 1, "days": 1}]}, [], [own(-1, True)], "capped"),
        ({"caps": [{"messages": 1, "days": 1}]}, [], [own(0, False)], (CONTENDED, 0)),
        ({"min_gap_hours": 4}, [counted(-3)], [], ("min_gap", 1)),
        ({"min_gap_hours": 4}, [counted(-4)], [], "chosen"),
        ({"min_gap_hours": 4}, [counted(9)], [], "chosen"),
        ({"min_gap_hours": 24}, [counted(-1)], [], "min_gap"),
    ],
)
def test_caps_and_gap_at_their_boundary(
    policy: dict[str, Any],
    nightly: list[CountedMessage],
    sends: list[tuple[IntakeSend, bool]],
    expected: object,
) -> None:
    catalog = contents(default=policy)
    decided = cap(catalog.catalog, verdicts_of(catalog), nightly, sends, NOON, lambda: 0.5)
    assert outcome(decided) == expected


def test_two_messages_of_a_batch_share_a_persons_room() -> None:
    catalog = contents(default={"caps": [{"messages": 1, "days": 1}]})
    decided = cap(catalog.catalog, verdicts_of(catalog, message(1), message(2)), [], [], NOON)
    assert len(decided.chosen) == 1
    assert [why for _, why in decided.refused] == ["capped"]


def test_a_vendors_quota_is_a_cap_of_a_day() -> None:
    catalog = contents(fcm={"max_per_vendor_day": {"oppo": 1}})
    for vendor, expected in (("oppo", "capped"), ("vivo", "chosen")):
        given = verdicts_of(catalog, device_vendor=vendor)
        assert outcome(cap(catalog.catalog, given, [counted(-1)], [], NOON)) == expected
