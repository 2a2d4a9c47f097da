"""Limits that contradict each other, each with one fix."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.catalog.checking.contradictions import WEIGHTS, of_campaign, of_channel, of_policy
from angelia.catalog.documents import parse_document
from angelia.planning.terms import Terms
from tests.planned_night import CHANNEL, POLICY, SALE


def test_priorities_weigh_as_the_plan_weighs_them() -> None:
    assert dict(Terms.__dataclass_fields__["priority_weight"].default) == WEIGHTS


def says(kind: str, **changes: Any) -> list[tuple[str, bool]]:
    """Return (path: words, whether nothing can be sent) of one changed document."""
    raws = {
        "policy": POLICY | {"explore": {"slot_share_pct": 5, "epsilon": 0.1}},
        "channel": CHANNEL,
        "campaign": SALE,
    }
    explore = changes.pop("slot_share_pct", None)
    raws[kind] = raws[kind] | changes
    if explore is not None:
        raws["policy"] = raws["policy"] | {"explore": {"slot_share_pct": explore, "epsilon": 0.1}}
    documents = {(raw["kind"], raw["id"]): parse_document(raw) for raw in raws.values()}
    document = documents[kind, raws[kind]["id"]]
    doubts = (
        of_policy(document)
        if kind == "policy"
        else {"campaign": of_campaign, "channel": of_channel}[kind](document, documents)
    )
    return [(".".join(map(str, doubt.path)), doubt.empties) for doubt in doubts]


def test_good_documents_contradict_nothing() -> None:
    assert says("campaign") == says("channel") == says("policy") == []


def test_a_limit_that_exploration_eats_up_sends_nothing() -> None:
    assert says("campaign", budget={"max_messages": 1}) == [("budget.max_messages", True)]
    assert says("campaign", budget={"max_messages": 2}) == []
    assert says("channel", capacity_per_hour=1) == [("capacity_per_hour", True)]
    # 10 x (1 - 0.9) rounds down to 0, so eleven is the least.
    assert says("channel", capacity_per_hour=10, slot_share_pct=90) == [("capacity_per_hour", True)]
    assert says("channel", capacity_per_hour=11, slot_share_pct=90) == []


def test_a_message_that_costs_more_than_it_is_worth() -> None:
    # 0.05 an open, twice at priority medium.
    cheap, dear = CHANNEL | {"cost_per_message": 0.09}, CHANNEL | {"cost_per_message": 0.1}
    for channel, lines in ((cheap, 0), (dear, 1)):
        documents = {(raw["kind"], raw["id"]): parse_document(raw) for raw in (channel, SALE)}
        assert len(list(of_campaign(documents["campaign", "sale"], documents))) == lines


@pytest.mark.parametrize(("workers", "most"), [(1, 540), (2, 480)])
def test_an_hour_holds_no_more_than_its_minutes(
    workers: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_DELIVERY_SLOTS", str(workers))
    assert says("channel", capacity_per_hour=most, quota_per_minute=10) == []
    assert says("channel", capacity_per_hour=most + 1, quota_per_minute=10) == [("capacity_per_hour", False)]
    assert says("channel", enabled=False, capacity_per_hour=1) == []
    assert says("channel", max_per_vendor_day={"huawei": 0, "oppo": 1}) == [
        ("max_per_vendor_day.huawei", False)
    ]


@pytest.mark.parametrize(("share", "n"), [(99.9, 0), (100, 1)])
def test_drawing_every_hour_leaves_nothing_to_choose(share: float, n: int) -> None:
    assert len(says("policy", slot_share_pct=share)) == n
