"""What `plan show` draws is what the decisions say, by channel and by campaign."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from angelia.asking.shown import (
    BARS,
    EMPTY,
    FULL,
    CampaignHours,
    HourUse,
    _in_words,
    _own_limits,
    _routing,
    lines,
    shown,
)
from angelia.cli import main
from angelia.contracts.certificate import limits_of, scarcity
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.planning.certificate import certificate
from tests.planned_night import plan_a_night
from tests.unit.planning.few_people import TERMS
from tests.unit.spark_jobs.test_plan_dispatch import DS


def test_hours_count_the_messages_of_the_decisions(tight: Lake) -> None:
    rows = tight.read(tight.require("decisions", ds=DS)).to_pylist()
    sent = [one for row in rows for one in row["choices"] if one["outcome"] == "sent"]
    plan = shown(tight, DS)
    cells = Counter((one["channel"], f"{one['slot']:%Y-%m-%dT%H}", one["campaign_id"]) for one in sent)
    drawn = {
        (channel.channel, hour.slot, name): n
        for channel in plan.channels
        for hour in channel.hours
        for name, n in hour.campaigns.items()
    }
    assert drawn == cells
    for channel in plan.channels:
        assert all(hour.used == sum(hour.campaigns.values()) for hour in channel.hours)
    of_campaign = {one.campaign: one for one in plan.campaigns}
    assert {name: one.messages for name, one in of_campaign.items()} == plan.by_campaign
    assert all(sum(one.by_hour) == one.messages for one in plan.campaigns)
    assert of_campaign["digest"].budget == 60
    assert of_campaign["sale"].budget is None


def test_full_hours_are_those_no_chosen_message_fits(tight: Lake) -> None:
    """One of 20 places an hour is set aside for drawn messages: 19 chosen ones fill it."""
    rows = tight.read(tight.require("decisions", ds=DS)).to_pylist()
    chosen = Counter(
        (one["channel"], f"{one['slot']:%Y-%m-%dT%H}")
        for row in rows
        for one in row["choices"]
        if one["outcome"] == "sent" and not one["is_explore"]
    )
    plan = shown(tight, DS)
    full = {(c.channel, hour.slot) for c in plan.channels for hour in c.hours if hour.is_full}
    assert full == {key for key, n in chosen.items() if n == {"fcm": 19, "sms": 3}[key[0]]}
    assert full


def test_the_terminal_shows_bars_prices_and_words(tight: Lake, monkeypatch, capsys) -> None:
    plan = shown(tight, DS)
    text = lines(plan)
    fcm = next(one for one in plan.channels if one.channel == "fcm")
    dear = max(fcm.hours, key=lambda hour: hour.price_micros)
    row = next(line for line in text if line.startswith(f"  {dear.slot[5:10]} {dear.slot[11:13]}  "))
    assert f"{dear.used} " in row
    assert row.endswith(f"{dear.price_micros / 1e6:.4f} $$$$$$$$")
    assert ("full" in row) == dear.is_full
    meta = tight.require("decisions", ds=DS).meta
    for words in scarcity(meta):
        assert words.says in text
    drawn, tried = (f"{meta[name]:,}" for name in ("n_explore", "n_tried"))
    words = f"{drawn} messages at a drawn hour, outside the bound; {tried} with a material"
    assert f"exploration: {words} that is not the person's best" in text
    assert "  impossible: campaign nudge: value_per_open: an open worth 0 never covers its cost" in "\n".join(
        text
    )
    assert max(map(len, text)) < 300
    monkeypatch.setenv("ANGELIA_HOME", str(tight.store.url).removesuffix("/lake"))
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "show", "--json"])
    shown_as = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 0
    assert shown_as["commit"] == "decisions/ds=2026-11-14@1"
    assert shown_as["outcomes"] == meta["outcomes"]
    assert [one["says"] for one in shown_as["channels"]] == [words.says for words in scarcity(meta)]


def test_a_campaigns_own_limits_are_told() -> None:
    campaign = replace(TERMS.campaigns[0], max_messages=50, min_messages=7, max_per_hour=60)
    terms = replace(TERMS, campaigns=(campaign, *TERMS.campaigns[1:]))
    slot, fcm = str(terms.slots()[1]), terms.channels[0].id
    shard = {"outcomes": {"sent": 60}, "messages": [[slot, fcm, "sale", 60]], "primal": 90}
    shard |= {"explore_value": 0, "n_explore": 0, "n_tried": 0}
    prices = np.zeros(terms.limits().n_constraints, np.int64)
    prices[terms.limits().capacity.size] = -20_000
    prices[-23] = 40
    meta = certificate(terms, prices, 200, [shard])
    (budget,) = (limit for limit in limits_of(meta) if not limit.is_hourly)
    own = _own_limits("sale", meta, budget)
    assert own == {"budget": 50, "price_micros": 0, "minimum": 7, "paid_micros": 20_000, "per_hour": 60,
                   "n_full": 1, "speed_price_micros": 40}  # fmt: skip
    assert _own_limits("order", meta, None) == {}
    says = list(_in_words(CampaignHours("sale", 5, (), **own)))
    assert says == [
        "budget 50, price 0.0000",
        "minimum 7, missed by 2, paid 0.0200 a message",
        "60 an hour at most, 1 of its hours full, price up to <0.0001",
    ]


def test_channels_chosen_by_value_are_told() -> None:
    meta = {"by_value": ["sale"], "channel_responses": {"sms": 1.5, "fcm": 0.25}}
    says = "sale: the channel of most value; opens of a mean channel's: fcm 0.25, sms 1.50"
    assert (_routing(meta), _routing({})) == (says, None)


def test_charts_fit_eighty_columns(tight: Lake) -> None:
    plan = shown(tight, DS)
    dear = HourUse("2026-11-15T09", 1_234_567, 1_234_567, 98_765_432, True, {})
    channels = tuple(replace(one, hours=(*one.hours, dear)) for one in plan.channels)
    wide = CampaignHours(
        "a_campaign_of_thirty_characters", 1_234_567, tuple(range(24)), 9_999_999, 99_000_000
    )
    text = lines(replace(plan, channels=channels, campaigns=(*plan.campaigns, wide)))
    drawn = [line for line in text if set(line) & set(FULL + EMPTY + BARS)]
    assert any(line.endswith("1,234,567 100.0 %  full  98.7654 $$$$$$$$") for line in drawn)
    assert max(map(len, drawn)) <= 80
    assert (
        next(line for line in text if "budget 9,999,999" in line).strip() == "budget 9,999,999, price 99.0000"
    )


def test_a_plan_that_says_less_is_named(lake: Lake) -> None:
    plan_a_night(lake)
    with pytest.raises(NotFound, match="says no messages, as plans of today do") as caught:
        shown(lake, DS)
    assert "plan the night again" in caught.value.one_line()


def test_a_defect_within_a_figure_is_no_older_plan(tight: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tight.require("decisions", ds=DS)
    broken = replace(plan, meta={**plan.meta, "by_value": ["digest"]})  # and no channel_responses
    monkeypatch.setattr("angelia.asking.shown.require_plan", lambda *_: broken)
    with pytest.raises(KeyError):
        shown(tight, DS)
