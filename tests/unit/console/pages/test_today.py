"""Today: the totals of the night that is sent, and what is left of it when all else fails."""

from __future__ import annotations

import json

from angelia.contracts.outcomes import ACCEPTED, REJECTED
from angelia.delivery.ledger.status import status
from tests.planned_night import DS
from tests.unit.console.test_dispatch import conclude, night

__all__ = ["night"]


def test_a_foreign_day_is_refused(console, catalog, night):
    assert console("VIEWER").get(f"/today?ds={DS}&channel=nothing").status_code == 400
    assert console("VIEWER").get("/today?ds=2999-01-01").status_code == 400


def test_a_night_without_manifests_names_those_that_have(console, catalog, night):
    answer = console("VIEWER").get("/today?ds=2031-01-01")
    assert answer.status_code == 404
    assert "The night 2031-01-01 has no manifests" in answer.text
    assert f"What to do: choose one of {DS}." in answer.text


def test_the_page_shows_the_same_totals(console, catalog, lake, night):
    ledger, part = night
    conclude(ledger, ledger.claim(part), 0, [ACCEPTED] * 7 + [REJECTED] * 3)
    answer = console("VIEWER").get("/today/totals")
    wanted = status(lake, DS)
    assert answer.json() == json.loads(json.dumps(wanted))
    page = console("VIEWER").get("/today").text
    assert "<b>60</b>" in page
    assert "<b>50</b>" in page
    only = console("VIEWER").get("/today?campaign=win_back").text
    assert 'href="/campaigns/price_drop"' not in only.partition("By campaign")[2].partition("By channel")[0]


def test_a_damaged_ledger_leaves_the_rest_of_the_page(console, catalog, lake, night):
    lake.store.put("seals/2026-11-14/2026-11-15T04", b"{}")
    answer = console("VIEWER").get("/today")
    assert answer.status_code == 200
    assert "cannot be counted" in answer.text
    assert "Waiting for an answer" in answer.text
    assert "cannot be counted" in console("VIEWER").get("/campaigns").text
