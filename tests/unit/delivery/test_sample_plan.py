"""A plan without a night: parts of a size, hours in turn, and addresses that are nobody's."""

from __future__ import annotations

from datetime import UTC, datetime

from angelia.delivery.channels import PROVIDERS as KNOWN
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from tests.unit.delivery.given import DS


def test_messages_are_spread_over_hours_in_parts(lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 9, hours=(4, 5), part_rows=3)
    sizes = [((entry.keys or {})["send_hour"][-2:], entry.rows) for entry in commit.files]
    assert sizes == [("04", 3), ("04", 2), ("05", 3), ("05", 1)]
    table = lake.read(commit, ["dispatch_id", "address"])
    assert len(set(table["dispatch_id"].to_pylist())) == 9
    assert all(address.startswith("sandbox-") for address in table["address"].to_pylist())


def test_changes_are_constants_or_made_from_the_number() -> None:
    start = datetime(2026, 11, 15, 4, tzinfo=UTC)
    rows = sample_plan.rows(5, 2, start, locale="fr", user_id=lambda number: f"p{number}").to_pylist()
    assert {(row["user_id"], row["locale"]) for row in rows} == {("p5", "fr"), ("p6", "fr")}


def test_a_plan_can_be_made_for_every_provider() -> None:
    assert set(sample_plan.PROVIDERS.values()) >= set(KNOWN) - {"inbox"}
    channels = tuple(sample_plan.PROVIDERS)
    assert [row["id"] for row in sample_plan.documents(channels=channels)][1:] == list(channels)
