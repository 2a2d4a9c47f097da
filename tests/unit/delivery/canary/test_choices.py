"""The last word on a night's canary is the log's last entry of that night."""

from __future__ import annotations

from angelia.delivery.canary.choices import canary_choices
from angelia.lake import Lake
from tests.unit.delivery.canary.planned import CAMPAIGN, decide
from tests.unit.delivery.given import DS


def test_the_log_s_order_decides_night_by_night(lake: Lake) -> None:
    assert canary_choices(lake, DS) == {}
    decide(lake, "fail")
    decide(lake, "fail", night="2026-11-15", n=1)
    assert canary_choices(lake, DS)[CAMPAIGN].action == "fail"
    decide(lake, "pass", n=2)
    decide(lake, "fail", night="2026-11-13", n=3)
    assert canary_choices(lake, DS) == {CAMPAIGN: ("pass", "ann", "looked at it")}
