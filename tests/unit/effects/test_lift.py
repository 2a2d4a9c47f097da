"""Lift in the report: colour only what is settled, and say why there is nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from angelia.effects.lift import campaigns, experiments, lift

START = datetime(2026, 11, 15, 4, tzinfo=UTC)
NIGHT = SimpleNamespace(plan_start=START, window_end=START + timedelta(hours=48))
ROW = {
    "scope": "all", "metric": "converted", "n_treated": 900, "n_holdout": 100, "mean_treated": 0.2,
    "mean_holdout": 0.1, "difference": 0.1, "low": 0.08, "high": 0.12,
}  # fmt: skip


def findings(until: date | None = date(2026, 11, 20), **tables: list[dict[str, Any]]) -> Any:
    named = {name: SimpleNamespace(rows=rows) for name, rows in tables.items()}
    return SimpleNamespace(
        sources=SimpleNamespace(night=NIGHT, observed_until=lambda: until),
        tables=named,
        conversion="<purchase>",
    )


def test_without_rows_it_says_whether_they_may_still_come() -> None:
    assert "No holdout group to compare with" in lift(findings(holdout_lift=[]))
    early = lift(findings(until=None, holdout_lift=[]))
    assert "no events have arrived for the planned day (2026-11-15)" in early


def test_a_share_is_shown_in_points_and_a_count_as_it_is() -> None:
    days = ROW | {"metric": "active_days", "scope": "sale"}
    text = lift(findings(holdout_lift=[ROW, days]))
    assert "All marketing (global holdout): +10  [+8, +12]" in text
    assert "sale: +0.1  [+0.08, +0.12]" in text
    rare = lift(findings(holdout_lift=[days | {"mean_holdout": 0.00002, "difference": 0.00002}]))
    assert "sale: +0.00002  [+0.08" in rare
    assert rare.count('<td class="n">0.00002</td>') == 2
    assert "&lt;purchase&gt;" in text
    assert "<purchase>" not in text


def test_what_will_still_grow_says_so() -> None:
    settled, growing = (
        lift(findings(until, holdout_lift=[ROW])) for until in (date(2026, 11, 17), date(2026, 11, 16))
    )
    assert "stands out among all 1 intervals" in settled
    assert "will still grow, and none is coloured" in growing
    assert "events have arrived up to 16 Nov only" in growing


def test_arms_are_shown_in_percent_and_nothing_without_any() -> None:
    assert experiments(findings(experiments=[])) == ""
    arm = {"campaign_id": "sale", "arm": "b", "n_users": 10, "open_rate": 0.125, "low": 0.1, "high": 0.5}
    text = experiments(findings(experiments=[arm]))
    assert '<td class="n">12.5</td><td class="n">10.0</td><td class="n">50.0</td>' in text


def test_campaigns_are_summed_and_rates_are_of_sent() -> None:
    counts = {"n_users": 10, "n_sent": 8, "n_opened": 2, "n_converted": 1, "n_unsubscribed": 0}
    row = {"campaign_id": "sale", "arm": "treated", "material_id": "a", "channel": "fcm", **counts}
    none = row | {"material_id": None, "n_users": 5, "n_sent": 0, "n_opened": 0}
    text = campaigns(findings(campaign_effects=[row, row | {"material_id": "b"}, none]))
    assert '<th scope="row">sale</th><td>treated</td><td class="n">25</td><td class="n">16</td>' in text
    assert '<td class="n">25.0</td>' in text
    by_material = text.partition("By material and channel")[2]
    assert by_material.count('<th scope="row">sale</th>') == 2, "people without a material have no row there"
    assert campaigns(findings(campaign_effects=[])) == ""
