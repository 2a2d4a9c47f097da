"""Who of a batch is sent what: each rule at its boundary, without a lake."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.deciding import HOUR_US
from angelia.intake.dispatching.people import Contents
from tests.unit.intake.verdicts import NOON, contents, message, outcome, verdicts_of


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


@pytest.mark.parametrize(
    ("changes", "minutes"),
    [
        ({}, 120),
        ({"sale": {"send_window": {"start": 12, "end": 13}}}, 60),
        ({"sale": {"send_window": {"start": 12, "end": 18}}}, 120),
    ],
)
def test_a_message_has_left_before_its_window_closes(changes: dict[str, Any], minutes: int) -> None:
    (sent,) = verdicts_of(contents(**changes)).chosen
    assert sent.row["not_after"] == NOON + minutes * HOUR_US // 60


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
