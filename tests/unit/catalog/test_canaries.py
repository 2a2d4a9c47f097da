"""What may be written of a canary, and a person's word on one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from angelia.catalog.apply import carry_out, plan
from angelia.catalog.canaries import decide_canary
from angelia.catalog.documents import Campaign, canonical, check_document, parse_document
from angelia.catalog.store import CatalogStore
from angelia.config import load_settings
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from tests.planned_night import CHANNEL, EVERYONE, POLICY, SALE, SHOE, TEMPLATE
from tests.unit.catalog.test_triggers import LEFT

NOW = datetime(2026, 11, 15, 9, tzinfo=UTC)
WORDS = {"en": {"title": "{{ item }}", "body": "{{ item }}"}}
PLAIN = TEMPLATE | {"variables": {"item": {}}, "variants": WORDS, "link": "https://shop.example/"}
WHOLE = {
    "share_pct": 2.0,
    "hours": 3,
    "messages": 100,
    "max_rejected_pct": 10.0,
    "max_refused_pct": 1.0,
    "min_opened_pct": 0.0,
    "then": "expire",
}


def says(**changes: Any) -> list[str]:
    return [str(problem) for problem in check_document(SALE | changes)[1]]


@pytest.mark.parametrize("canary", ["2 %", "2%", 2, 2.0, {"share": "2 %"}, {"share_pct": 2}, {"share": 2}])
def test_it_is_written_in_short_or_at_length(canary: Any) -> None:
    document = parse_document(SALE | {"canary": canary})
    assert isinstance(document, Campaign)
    assert json.loads(canonical(document))["canary"] == WHOLE
    assert parse_document(json.loads(canonical(document))) == document


def test_a_document_without_one_keeps_its_text() -> None:
    assert "canary" not in json.loads(canonical(parse_document(SALE)))


@pytest.mark.parametrize(
    ("canary", "problem"),
    [
        ("0 %", "canary.share_pct: should be greater than 0"),
        (51, "canary.share_pct: should be less than or equal to 50, got 51"),
        ("two", "canary.share_pct: should be a valid number"),
        ({}, "canary.share_pct: is required"),
        ({"share": "2 %", "share_pct": 2}, "canary: share: give share or share_pct, not both"),
        ({"share": "2 %", "hours": 13}, "canary.hours: should be less than or equal to 12, got 13"),
        ({"share": "2 %", "then": "wait"}, "canary.then: should be 'send', 'expire' or 'ask', got 'wait'"),
        ({"share": "2 %", "messages": 0}, "canary.messages: should be greater than or equal to 1"),
        (
            {"share": "2 %", "max_refused": 1},
            "canary.max_refused: unknown field; did you mean max_refused_pct?",
        ),
        ([2], "canary: should be"),
    ],
)
def test_what_no_canary_can_be(canary: Any, problem: str) -> None:
    (line,) = says(canary=canary)
    assert line.startswith(problem)


def test_what_a_canary_does_not_go_with() -> None:
    assert "owed to everybody" in says(canary="2 %", guarantee="at_least_once")[0]
    assert "no rest to wait" in says(canary="2 %", trigger=LEFT)[0]


def test_a_word_needs_a_reason_and_leaves_a_trail(settings_home: Path, lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("\n---\n".join(map(json.dumps, (POLICY, PLAIN, SHOE, EVERYONE, CHANNEL, SALE))))
    store = CatalogStore.open(load_settings().catalog_url())
    carry_out(store, plan(store, [path]), actor="test", at=NOW)
    who: dict[str, Any] = {"actor": "ann", "at": NOW}
    with pytest.raises(InvalidInput, match="with a reason"):
        decide_canary(lake, store, "sale", "2026-11-14", "pass", reason=" ", **who)
    with pytest.raises(NotFound):
        decide_canary(lake, store, "sael", "2026-11-14", "pass", reason="x", **who)
    assert lake.read_log("canary_choices").num_rows == 0
    decide_canary(lake, store, "sale", "2026-11-14", "pass", reason="looks well", **who)
    (entry,) = lake.read_log("canary_choices").to_pylist()
    assert (entry["campaign_id"], entry["night"], entry["action"]) == ("sale", "2026-11-14", "pass")
    (trail,) = [one for one in store.audit("campaign", "sale") if one.version is None]
    assert (trail.actor, trail.action, trail.detail) == ("ann", "canary pass", "night 2026-11-14: looks well")
