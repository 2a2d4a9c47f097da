"""Templates without a campaign: who may be sent one, and under which rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.deciding import HOUR_US
from angelia.intake.dispatching.direct import why_no_campaign, with_direct
from angelia.intake.dispatching.people import Contents
from tests.unit.intake.conftest import Ask
from tests.unit.intake.dispatching import NIGHT, Bench, bench
from tests.unit.intake.verdicts import NOON, message, outcome, verdicts_of

__all__ = ["bench"]
OWED = {"topic": "orders", "guarantee": "at_least_once", "ttl_hours": 6}
OFFER = {"topic": "promo", "ttl_hours": 6}
BY_TEMPLATE = {"campaign_id": None, "template_id": "plain"}


def documents(direct: dict[str, Any] | None, **policy: Any) -> list[dict[str, Any]]:
    return [
        {**raw, **({"direct": direct} if raw["kind"] == "template" and direct else {})}
        | (policy if raw["kind"] == "policy" else {})
        for raw in sample_night.DOCUMENTS
    ]


def contents(direct: dict[str, Any] | None, **policy: Any) -> Contents:
    stored = (StoredDocument(parse_document(raw), 1) for raw in documents(direct, **policy))
    return Contents(with_direct(catalog_of(stored)))


MARKETING = {"campaign_id": "marketing__plain"}
TRANSACTIONAL = {"campaign_id": "transactional__plain", "class": "transactional"}
CLOSED = {"holdout": {"share_pct": 100, "salt": "h"}}


@pytest.mark.parametrize(
    ("direct", "row", "policy", "expected"),
    [
        (OFFER, MARKETING, {}, "chosen"),
        (OFFER, MARKETING, CLOSED, "holdout_global"),
        (OFFER, MARKETING, {"quiet_hours": {"start": 12, "end": 14}}, ("quiet_hours", 2)),
        (OFFER, TRANSACTIONAL, {}, "other_class"),  # the operator's word, never the client's
        (OWED, MARKETING, {}, "other_class"),
        (OWED, TRANSACTIONAL, CLOSED, "chosen"),
        (None, TRANSACTIONAL, {}, "template_not_direct"),
        (OWED, {**TRANSACTIONAL, "campaign_id": "transactional__gone"}, {}, "unknown_template"),
        (OFFER, {**MARKETING, "send_us": NOON - 6 * HOUR_US}, {}, "expired"),
        (OFFER, {**MARKETING, "send_us": NOON - 6 * HOUR_US + 1}, {}, "chosen"),
    ],
)
def test_a_templates_own_word_decides(
    direct: dict[str, Any] | None, row: dict[str, Any], policy: dict[str, Any], expected: object
) -> None:
    assert outcome(verdicts_of(contents(direct, **policy), message(**row))) == expected


def test_its_topic_can_be_refused() -> None:
    marketing, owed = message(**MARKETING), message(**TRANSACTIONAL)
    assert outcome(verdicts_of(contents(OFFER), marketing, opted_out_topics=["promo"])) == "opted_out"
    assert outcome(verdicts_of(contents(OWED), owed, opted_out_topics=["orders"])) == "chosen"


def test_what_a_client_leaves_out_nobody_gives() -> None:
    bare = [
        {**raw, "variables": {"item": {}}} if raw["kind"] == "template" else raw for raw in documents(OWED)
    ]
    bare = [raw for raw in bare if raw["kind"] not in ("material", "campaign")]
    catalog = Contents(with_direct(catalog_of(StoredDocument(parse_document(raw), 1) for raw in bare)))
    assert outcome(verdicts_of(catalog, message(**TRANSACTIONAL))) == "variable_missing"
    given = message(**TRANSACTIONAL, variables='{"item": "lamp"}')
    assert outcome(verdicts_of(catalog, given)) == "chosen"


def test_a_campaigns_name_has_no_template() -> None:
    assert why_no_campaign(contents(OWED).catalog, "sale") is None


def test_a_template_is_sent_and_capped_as_campaigns_are(bench: Bench) -> None:
    bench.night(documents=documents(OFFER, caps=[{"messages": 1, "days": 1}]))
    first, second = bench.accept(
        {**BY_TEMPLATE, "variables": {"item": "lamp"}},
        {},  # a campaign's message to the same person
    )
    bench.dispatch()
    assert bench.states([first, second]) == ["sent", "refused"]
    assert bench.steps(second) == [("refused", "capped")]
    assert [sent["notification"]["title"] for sent in bench.wire.sent] == ["About lamp"]
    (row,) = [
        row
        for leaf in bench.lake.partitions("dispatch_intake")
        for row in bench.lake.read(bench.lake.require("dispatch_intake", **leaf)).to_pylist()
    ]
    assert (row["template_id"], row["campaign_id"]) == ("plain", "marketing__plain")
    assert (row["topic"], row["guarantee"]) == ("promo", "at_most_once")
    assert json.loads(row["fields"])["item"] == "lamp"


def test_the_owed_use_no_room(bench: Bench) -> None:
    bench.night(documents=documents(OWED, caps=[{"messages": 1, "days": 1}]))
    owed = {**BY_TEMPLATE, "class": "transactional"}
    ids = [*bench.accept(owed, owed)]
    bench.dispatch()
    ids += bench.accept({})
    bench.dispatch()
    assert bench.states(ids) == ["sent"] * 3
    assert NIGHT == "2026-11-26"


def test_a_client_reads_and_finds_its_template(ask: Ask) -> None:
    by_template = {"user_id": "anna", "template_id": "plain", "class": "marketing"}
    sent = ask("POST", "/v1/messages", by_template).json()["id"]
    ask("POST", "/v1/messages", {"user_id": "anna", "campaign_id": "cart", "class": "marketing"})
    shown = ask("GET", f"/v1/messages/{sent}").json()
    assert (shown["template_id"], shown["campaign_id"]) == ("plain", None)
    for query, expected in (
        ("template=plain", [sent]),
        ("template=other", []),
        ("campaign=marketing__plain", []),
        ("campaign=cart&template=plain", []),
    ):
        assert [each["id"] for each in ask("GET", f"/v1/messages?{query}").json()["messages"]] == expected
