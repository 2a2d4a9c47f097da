"""Why one person got what they got: the stored outcome, explained."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from angelia.asking import why_text
from angelia.asking.night import open_night
from angelia.asking.person import PersonNight
from angelia.asking.records import CampaignWhy, Why
from angelia.asking.why import why
from angelia.catalog.documents import parse_document
from angelia.cli import main
from angelia.contracts.outcomes import DECIDED
from angelia.contracts.rows import user_name
from angelia.errors import Corrupt, NotFound
from angelia.lake import Lake
from angelia.users.one_person import PersonLake
from models.registry import Registry
from spark_jobs import plan_dispatch
from tests.unit.spark_jobs.test_plan_dispatch import BEFORE, DS, PENDING, settle
from tests.unit.spark_jobs.test_plan_dispatch_waits import settle_waiting


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Return a planned night like `tight_home`'s, in which limits turn some wishes down.

    Half the people set the prices, so that they are not exact.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_dispatch, "SAMPLE_USERS", 300)
        lake = settle(patch, tmp_path_factory.mktemp("why"), 8)
        plan_dispatch.main(["--ds", DS])
    return lake


@pytest.fixture(scope="module")
def decided(tight: Lake) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Return (person, choice) of the night by outcome."""
    by_outcome: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for row in tight.read(tight.require("decisions", ds=DS)).to_pylist():
        for choice in row["choices"]:
            by_outcome.setdefault(choice["outcome"], []).append((row["ordinal"], choice))
    return by_outcome


def ask(lake: Lake, number: int, campaign: str | None = None) -> Why:
    return why(lake, user_name(number), DS, campaign=campaign)


def ask_of(lake: Lake, number: int) -> Why:
    return why(lake, user_name(number), DS, registry=Registry.open(lake.store.url))


def only_campaign(answer: Why) -> CampaignWhy:
    (campaign,) = answer.campaigns
    return campaign


def test_a_sent_message_shows_worth_price_and_hour(tight: Lake, decided) -> None:
    for number, choice in [pair for pair in decided["sent"] if not pair[1]["is_explore"]][:12]:
        answer = ask(tight, number, choice["campaign_id"])
        sent = only_campaign(answer)
        chosen = sent.offers[0]
        assert chosen.is_chosen
        assert (sent.slot, sent.channel) == (f"{choice['slot']:%Y-%m-%dT%H}", choice["channel"])
        assert (chosen.slot, chosen.channel) == (sent.slot, sent.channel)
        # What is computed again for one person is what the plan computed for all.
        assert chosen.worth_micros == sent.worth_micros == choice["value_micros"]
        assert chosen.price_micros == sent.price_micros == choice["price_micros"]
        assert sent.material_propensity == choice["material_propensity"]
        drawn = next(m for m in sent.materials if m.material == choice["material_id"])
        assert drawn.p_open == choice["p_open"]
        assert drawn.propensity == pytest.approx(choice["material_propensity"], abs=1e-6)
        assert sent.fate is not None
        assert sent.fate.state == "not_emitted"
        assert sent.later is not None, "the scores of this night carry a price of fatigue"
        assert min(sent.later.flat_micros, sent.later.share) > 0


@pytest.mark.parametrize(
    "outcome", ["capped", "no_capacity", "no_value", "not_chosen", "no_budget", "holdout_global"]
)
def test_each_outcome_is_the_stored_one_in_words(tight: Lake, decided, outcome: str) -> None:
    number, choice = decided[outcome][0]
    why = only_campaign(ask(tight, number, choice["campaign_id"]))
    assert (why.outcome, why.says) == (outcome, DECIDED[outcome])
    assert why.is_member
    line = next(line for line in why_text.lines(ask(tight, number)) if line.startswith(choice["campaign_id"]))
    assert line == f"{choice['campaign_id']}: {outcome}: {DECIDED[outcome]}"


def test_a_message_that_waits_says_for_which_night(tmp_path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lake = settle_waiting(patch, tmp_path, 8)
        plan_dispatch.main(["--ds", DS])
    rows = lake.read(lake.require("decisions", ds=DS)).to_pylist()
    number = next(
        row["ordinal"] for row in rows for one in row["choices"] if one["outcome"] == "better_night"
    )
    why = only_campaign(ask(lake, number, "sale"))
    assert why.says.startswith(f"{DECIDED['better_night']}; it waits for the night of Monday, 2026-11-16: ")
    tonight, then = (float(text) for text in re.findall(r"([\d.]+)%", why.says))
    assert then == pytest.approx(3 * tonight, rel=0.01)
    assert why.offers, "what tonight's hours would have been worth is shown"


def test_full_hours_are_named_with_their_price(tight: Lake, decided) -> None:
    number, choice = decided["no_budget"][0]
    why = only_campaign(ask(tight, number, choice["campaign_id"]))
    limits = {limit.limit: limit for limit in why.binding}
    budget = limits["budget digest"]
    assert 57 <= budget.used <= budget.capacity == 60  # 5 % are set aside for exploration
    assert budget.price_micros > 0
    assert any(limit.price_micros for limit in why.binding)
    assert all(limit.price_micros or 100 * limit.used >= 99 * limit.capacity for limit in why.binding)


def test_closed_hours_are_counted_under_one_reason(tight: Lake, decided) -> None:
    # Two hours before the night begins they are sent another: the gap closes its first hours.
    pending = {row["ordinal"] for row in PENDING}
    number = next(i for i, one in decided["sent"] if one["campaign_id"] == "sale" and i in pending)
    closed = dict(only_campaign(ask(tight, number, "sale")).closed)
    assert closed["less than 5 h from another message"] > 0
    mine = PersonNight.of(open_night(tight, DS), PersonLake(tight, number, 8))
    assert mine is not None
    row = mine.row("sale")
    is_open = mine.problem.allowed[row] & (mine.problem.room[0] >= 1)
    assert sum(closed.values()) == 24 - is_open.sum()
    # Later hours are closed by the gap and by the caps: they count once.
    both = replace(mine.problem, room=np.zeros_like(mine.problem.room))
    assert sum(replace(mine, problem=both).closed(mine.night.terms.campaigns[0]).values()) == 24


def test_a_limit_with_room_and_no_price_binds_nobody(tight: Lake, decided, monkeypatch) -> None:
    number, choice = decided["no_budget"][0]
    night = open_night(tight, DS)
    roomy = [replace(limit, used=0, left=limit.capacity, price_micros=0) for limit in night.limits]
    meta = night.plan.meta | {"constraints": [limit.as_meta() for limit in roomy]}
    changed = replace(night, plan=replace(night.plan, meta=meta))
    monkeypatch.setattr("angelia.asking.why.open_night", lambda *_: changed)
    assert only_campaign(ask(tight, number, choice["campaign_id"])).binding == ()


def test_a_campaign_of_another_audience_says_so(tight: Lake) -> None:
    odd = {found.campaign: found for found in ask(tight, 7).campaigns}
    assert list(odd) == ["sale", "digest", "nudge", "parcel"]
    assert (odd["digest"].outcome, odd["digest"].is_member) == ("not_in_audience", False)
    assert odd["digest"].says == "its audience, even, did not hold this person that night"


@pytest.mark.parametrize(
    ("fields", "stopped", "says"),
    [
        ({}, {"nudge"}, "stopped when the night was planned"),
        ({"start_date": "2026-11-20"}, set(), "begins on 2026-11-20"),
        ({"end_date": "2026-11-10"}, set(), "ended on 2026-11-10"),
        (
            {"occurrence": {"every": "daily", "weekdays": ["tue", "wed"]}},
            set(),
            "does not run on Sundays: it serves tue, wed",
        ),
        ({"trigger": {"event": "cart"}}, set(), "set off by cart, and in no night's plan"),
    ],
)
def test_a_campaign_that_did_not_run_says_why(tight: Lake, monkeypatch, fields, stopped, says) -> None:
    night = open_night(tight, DS)
    nudge = night.catalog.campaigns["nudge"]
    changed = parse_document(nudge.model_dump(mode="json") | fields)
    campaigns = {**night.catalog.campaigns, "nudge": changed}
    catalog = replace(night.catalog, campaigns=campaigns, stopped=frozenset(stopped))
    running = tuple(one for one in night.terms.campaigns if one.id != "nudge")
    terms = replace(night.terms, campaigns=running)
    monkeypatch.setattr(
        "angelia.asking.why.open_night", lambda *_: replace(night, catalog=catalog, terms=terms)
    )
    why = only_campaign(ask(tight, 7, "nudge"))
    assert (why.outcome, why.says) == ("not_running", says)
    assert f"nudge: not_running: {says}" in why_text.lines(ask(tight, 7, "nudge"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--user", "nobody"], "nobody of this id is among the 600 people of user_index/chain=0@1"),
        (
            ["--user", user_name(1), "--ds", "2026-11-20"],
            "the last planned nights are 2026-11-13, 2026-11-14",
        ),
        (
            ["--user", user_name(1), "--campaign", "sal"],
            "had no campaign 'sal'; it had digest, nudge, parcel",
        ),
        (["--user", user_name(1), "--ds", BEFORE], "cites no user_index; plan the night again"),
    ],
)
def test_what_cannot_be_answered_is_one_line(tight: Lake, monkeypatch, capsys, words, says: str) -> None:
    monkeypatch.setenv("ANGELIA_HOME", str(tight.store.url).removesuffix("/lake"))
    with pytest.raises(SystemExit) as stopped:
        main(["why", *words])
    line = capsys.readouterr().err
    assert stopped.value.code == 2
    assert says in line
    assert line.count("\n") == 1
    assert user_name(1) not in line


def test_what_has_expired_is_a_note_and_no_failure(tight: Lake, decided, monkeypatch) -> None:
    def gone(*_: Any) -> None:
        raise Corrupt("main/user_pushes/ds=2026-11-14/part-0000.parquet: missing")

    monkeypatch.setattr("angelia.asking.why.PersonNight.of", gone)
    number, choice = decided["sent"][0]
    answer = ask(tight, number, choice["campaign_id"])
    sent = only_campaign(answer)
    assert (sent.outcome, sent.offers, sent.local) == ("sent", (), None)
    assert sent.worth_micros == choice["value_micros"]
    assert "hours and materials are not explained: main/user_pushes/ds=2026-11-14" in answer.notes[0]
    assert f"{choice['campaign_id']}: sent by" in "\n".join(why_text.lines(answer))


def test_a_person_who_joined_later_is_told_apart(tight: Lake, monkeypatch) -> None:
    later = tight.require("user_index", chain="0")
    joined = later.renumbered(later.number + 1)
    monkeypatch.setattr("angelia.asking.why.require_index", lambda lake: joined)
    monkeypatch.setattr("angelia.asking.why.find_ordinal", _of(joined))
    with pytest.raises(NotFound, match="joined after the night of 2026-11-14 was planned"):
        ask(tight, 1)


def _of(joined: Any) -> Any:
    def find(_lake: Lake, index: Any, _user: str) -> int:
        if index.number == joined.number:
            return 0
        raise NotFound("nobody")

    return find
