"""`angelia catalog canary`: what it shows, and a person's word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia import cli
from angelia.catalog.apply import carry_out, plan
from angelia.catalog.store import CatalogStore
from angelia.config import load_settings
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from tests.planned_night import CHANNEL, EVERYONE, POLICY, SALE, SHOE
from tests.unit.catalog.test_canaries import NOW, PLAIN
from tests.unit.delivery.canary import planned


def run(capsys: Any, *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        cli.main(["catalog", *words])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def night(settings_home: Path, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan a night whose campaign has a canary, and have it in the catalog."""
    documents = (POLICY, PLAIN, SHOE, EVERYONE, CHANNEL, SALE | {"id": planned.CAMPAIGN, "canary": "2 %"})
    path = tmp_path / "catalog.yaml"
    path.write_text("\n---\n".join(map(json.dumps, documents)))
    store = CatalogStore.open(load_settings().catalog_url())
    carry_out(store, plan(store, [path]), actor="test", at=NOW)
    rule = planned.documents_with(planned.RULE, sample_plan.documents)
    monkeypatch.setattr(sample_plan, "documents", rule)
    planned.plan(lake)


@pytest.mark.usefixtures("night")
def test_it_says_how_it_stands_and_takes_a_word(capsys: Any) -> None:
    out = run(capsys, "canary", "price_drop")[1]
    waits = "canary of 2026-11-14 waits: none of its 10 messages has left yet"
    assert out.splitlines()[0] == f"price_drop: {waits}"
    assert run(capsys, "show", "campaign", "price_drop")[1].splitlines()[-1] == f"# {waits}"
    shown = run(capsys, "canary", "price_drop", "--fail", "--reason", "typo", "--actor", "bob", "--json")[1]
    answer = json.loads(shown)
    assert (answer["state"], answer["says"], answer["planned"]) == ("failed", "failed by bob: typo", 10)


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["price_drop", "--pass"], "a canary is decided with a reason; --reason"),
        (["price_drop", "--pass", "--fail", "--reason", "x"], "passed or failed, not both"),
        (["price_drop", "--reason", "x"], "a reason is for --pass or --fail"),
        (["sale"], "sale has no canary in the newest night"),
        (["price_drop", "--ds", "2026-11-13"], "has no canary in the night of 2026-11-13"),
    ],
)
def test_what_cannot_be_decided_is_one_line(capsys: Any, words: list[str], says: str) -> None:
    code, out, err = run(capsys, "canary", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
