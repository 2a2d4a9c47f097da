"""A night solved again with other limits: nothing set is the plan itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from angelia.asking import whatif_text
from angelia.asking.night import open_night
from angelia.asking.settings import parse
from angelia.asking.whatif import WhatIf, known_settings, what_if
from angelia.errors import InvalidInput
from angelia.lake import Lake
from spark_jobs import plan_dispatch
from spark_jobs.shard_work.impossible import impossible
from tests.unit.spark_jobs.test_plan_dispatch import DS
from tests.unit.spark_jobs.test_plan_dispatch_waits import settle_waiting

ANSWERS: dict[tuple[str, ...], WhatIf] = {}


def ask(lake: Lake, *texts: str) -> WhatIf:
    """Return the answer to a question about the tight night, solved once."""
    if texts not in ANSWERS:
        ANSWERS[texts] = what_if(lake, DS, parse(texts))
    return ANSWERS[texts]


def test_nothing_set_is_the_plan_itself(tight: Lake) -> None:
    objects = sorted(tight.store.list(""))
    answer = ask(tight)
    meta = tight.require("decisions", ds=DS).meta
    assert answer.total.plan == answer.total.what_if
    assert answer.people[0] == answer.people[1] > 0
    assert answer.campaigns["sale"].plan.messages == meta["by_campaign"]["sale"] > 0
    assert {m for one in answer.moves.values() for m in (one.gained, one.lost, one.moved)} == {0}
    assert all(a == b for one in answer.outcomes.values() for a, b in one.values())
    assert answer.certificates["plan"] == answer.certificates["what_if"]
    assert answer.notes == ()
    assert [one.partition(":")[0] for one in answer.contradictions] == ["campaign nudge"]  # worth nothing
    assert sorted(tight.store.list("")) == objects
    assert "every outcome is as planned" in "\n".join(whatif_text.lines(answer))


def test_figures_are_those_of_the_decisions(tight: Lake) -> None:
    rows = tight.read(tight.require("decisions", ds=DS)).to_pylist()
    sent = [one for row in rows for one in row["choices"] if one["outcome"] == "sent"]
    total = ask(tight).total.plan
    assert total.messages == len(sent)
    assert total.value_micros == sum(one["value_micros"] for one in sent)
    # value = weight x chance - cost, weight 2 x 1,000,000; the campaign without a value sends nothing
    cost = {"fcm": 0, "sms": 10_000}
    opens = sum((one["value_micros"] + cost[one["channel"]]) / 2e6 for one in sent)
    assert total.opens == pytest.approx(opens, abs=0.001)


def test_one_message_a_day_leaves_nobody_two(tight: Lake) -> None:
    answer = ask(tight, "caps.user_per_day=1")
    assert answer.total.what_if.messages < answer.total.plan.messages
    assert answer.total.what_if.value_micros < answer.total.plan.value_micros
    assert sum(one.lost - one.gained for one in answer.moves.values()) == (
        answer.total.plan.messages - answer.total.what_if.messages
    )
    before, after = (
        sum(one.get("not_chosen", (0, 0))[side] for one in answer.outcomes.values()) for side in (0, 1)
    )
    assert after > before


def test_a_closed_hour_sends_nothing_and_others_more(tight: Lake) -> None:
    answer = ask(tight, "capacity.fcm.20=0", "capacity.sms.20=0")
    used = {(one["limit"]): one for one in answer.certificates["what_if"]["constraints"]}
    before = {(one["limit"]): one for one in answer.certificates["plan"]["constraints"]}
    for name in ("fcm 2026-11-15T20", "sms 2026-11-15T20"):
        assert before[name]["used"] > 0
        assert (used[name]["used"], used[name]["capacity"]) == (0, 0)
    assert sum(one.moved for one in answer.moves.values()) > 0


def test_a_budget_bounds_and_a_stop_ends_a_campaign(tight: Lake) -> None:
    answer = ask(tight, "budget.sale=40", "stop.digest=yes")
    assert 0 < answer.campaigns["sale"].what_if.messages <= 40
    assert answer.campaigns["digest"].plan.messages > 0
    assert answer.campaigns["digest"].what_if.messages == 0
    assert answer.moves["digest"].lost == answer.campaigns["digest"].plan.messages


def test_a_price_on_refusals_sends_less(tight: Lake) -> None:
    answer = ask(tight, "fatigue.refusal=200")
    assert 0 < answer.total.what_if.messages < answer.total.plan.messages
    assert answer.certificates["what_if"]["gap_pct"] >= 0


def test_a_limit_on_refusals_finds_its_price_again(tight: Lake) -> None:
    strict, free = (ask(tight, f"fatigue.at_most={most}").total for most in ("0.8", "none"))
    assert strict.plan == free.plan
    assert strict.what_if.value_micros < strict.plan.value_micros < free.what_if.value_micros
    assert strict.what_if.messages >= 0.9 * strict.plan.messages


def test_what_waits_goes_tonight_if_it_may_not_wait(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lake = settle_waiting(patch, tmp_path, 8)
        plan_dispatch.main(["--ds", DS])
        at_once = ask(lake, "postpone.sale=none")
    assert at_once.outcomes["sale"]["better_night"][0] > at_once.outcomes["sale"]["better_night"][1] == 0
    assert at_once.campaigns["sale"].what_if.messages > at_once.campaigns["sale"].plan.messages


def test_every_listed_setting_can_be_set_as_it_is(tight: Lake) -> None:
    known = known_settings(tight, DS)
    assert not [name for name, n in Counter(one.name for one in known).items() if n > 1]
    as_it_is = [f"{one.name.replace('.HH', '.07')}={one.value}" for one in known]
    answer = ask(tight, *as_it_is)
    assert answer.total.plan == answer.total.what_if
    assert {m for one in answer.moves.values() for m in (one.gained, one.lost, one.moved)} == {0}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("caps.user_perday=1", "nothing is called 'caps.user_perday'; did you mean caps.user_per_day?"),
        ("capacity.smss=1", "capacity.CHANNEL, capacity.CHANNEL.HH, cost.CHANNEL, budget.CAMPAIGN, value."),
        ("budgt.sale=1", "where CHANNEL is fcm or sms and CAMPAIGN is digest or nudge or parcel or sale"),
        ("capacity.fcm.24=1", "nothing is called 'capacity.fcm.24'"),
        ("budget.nobody=1", "nothing is called 'budget.nobody'"),
        ("caps.user_per_0_days=1", "--set caps.user_per_0_days: "),
        ("capacity.fcm=-1", "capacity.fcm=-1: '-1' is not a whole number of 1-12 digits"),
        (f"capacity.fcm={'9' * 300}", "capacity.fcm=9999999999999: '9999999999999' is not a whole number"),
        ("quiet_hours=22", "quiet_hours=22: hours are written as 9-18; or none"),
        ("window.sale=18-9", "--set window.sale: campaign/sale: send_window: end 9 is not after start 18"),
        ("postpone.sale=2", "--set postpone.sale: campaign/sale: postpone_nights: a daily campaign loses"),
        ("postpone.parcel=2", "--set postpone.parcel: campaign/parcel: postpone_nights: a transactional"),
        ("postpone.sale=9", "postpone_nights: should be less than or equal to 6"),
        ("priority.sale=urgent", "--set priority.sale: campaign/sale: priority: "),
        ("budget.sale=0", "budget.sale=0: a budget is at least 1; leave it out with stop.sale=yes"),
        (
            "channels.sale=fcm,email",
            "sale may use email, which is not in the night's catalog; it has fcm, sms",
        ),
        ("stop.sale=maybe", "say yes or no"),
        ("value.sale=nan", "--set value.sale: "),
        ("fcm", "is not NAME=VALUE; e.g. --set caps.user_per_day=1"),
    ],
)
def test_a_wrong_setting_is_one_line_that_helps(tight: Lake, text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ask(tight, text)
    assert says in refused.value.one_line()


def test_impossible_limits_are_named_before_solving(tight: Lake) -> None:
    answer = ask(
        tight, "capacity.fcm=0", "caps.sale.per_day=0", *(f"capacity.sms.{h:02d}=0" for h in range(24))
    )
    impossible_lines = "\n".join(answer.contradictions)
    assert "channel fcm: capacity_per_hour: 0: nothing will be sent" in impossible_lines
    assert (
        "campaign sale: caps[0].messages: 0 messages: nothing will be sent; give at least 1"
        in impossible_lines
    )
    assert "campaign digest: channels: fcm, sms may send 0 in every planned hour" in impossible_lines
    assert answer.total.what_if.messages == 0


def test_a_nights_own_numbers_are_looked_at(tight: Lake) -> None:
    night = open_night(tight, DS)
    sizes = replace(night.inputs, audiences=replace(night.inputs.audiences, meta={"sizes": {"even": 0}}))
    late = replace(night.terms, first_slot=night.terms.n_slots)
    contradictions = "\n".join(map(str, impossible(night.catalog, late, sizes)))
    assert "the night: all planned hours have passed" in contradictions
    assert "campaign digest: audience even holds nobody" in contradictions
    assert "campaign sale: channels: fcm, sms may send 0 in every planned hour" in contradictions
