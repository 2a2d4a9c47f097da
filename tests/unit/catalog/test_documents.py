"""Documents: occurrences, canonical text, what the sample campaigns are."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import angelia
from angelia.catalog.apply import plan, read_documents
from angelia.catalog.documents import (
    KINDS,
    LATER,
    AnyDocument,
    Campaign,
    Material,
    canonical,
    check_document,
    parse_document,
)
from angelia.catalog.store import CatalogStore
from angelia.contracts.sending import MAX_TTL_HOURS
from angelia.errors import InvalidInput
from angelia.world.parameters import parameters

SAMPLES = Path(angelia.__file__).parent.parent / "campaigns"


@pytest.fixture(scope="module")
def samples() -> dict[tuple[str, str], AnyDocument]:
    return {key: document for key, (document, _) in read_documents([SAMPLES]).items()}


def test_a_policy_without_a_price_of_refusals_keeps_its_text(samples) -> None:
    document = json.loads(canonical(samples["policy", "default"]))
    del document["fatigue"]["refusals_at_most"]
    policy = parse_document(document)
    assert "refusal_opens" not in canonical(policy)
    priced = json.loads(canonical(policy))
    priced["fatigue"]["refusal_opens"] = 60
    assert json.loads(canonical(parse_document(priced)))["fatigue"]["refusal_opens"] == 60
    assert "refusals_at_most" not in canonical(parse_document(priced))
    priced["fatigue"]["refusals_at_most"] = 1
    assert json.loads(canonical(parse_document(priced)))["fatigue"]["refusals_at_most"] == 1


def test_canonical_text_is_stable_and_complete(samples: dict[tuple[str, str], AnyDocument]) -> None:
    for document in samples.values():
        text = canonical(document)
        again = parse_document(json.loads(text))
        assert again == document
        assert canonical(again) == text
        later = {name for name in LATER if getattr(document, name, None) is None}
        assert set(json.loads(text)) == set(type(document).model_fields) - later


def test_money_is_in_micro_units(samples: dict[tuple[str, str], AnyDocument]) -> None:
    campaign = samples["campaign", "price_drop"]
    assert isinstance(campaign, Campaign)
    assert campaign.value_micros == 50_000


def test_materials_are_valid_from_and_until() -> None:
    material = parse_document(
        {
            "kind": "material",
            "id": "m",
            "template": "t",
            "valid_from": "2026-11-02",
            "valid_until": "2026-11-03",
        }
    )
    assert isinstance(material, Material)
    assert [material.is_valid_on(date(2026, 11, day)) for day in (1, 2, 3, 4)] == [False, True, True, False]


def test_a_transactional_ttl_ends_with_its_delivery(
    samples: dict[tuple[str, str], AnyDocument],
) -> None:
    raw = json.loads(canonical(samples["campaign", "order_update"]))
    assert raw["guarantee"] == "at_least_once"
    assert parse_document({**raw, "ttl_hours": MAX_TTL_HOURS})
    assert parse_document(
        {**raw, "ttl_hours": 672, "guarantee": "at_most_once"}
    )  # its window is shorter; the provider may keep it so long
    with pytest.raises(
        InvalidInput, match=f"tried for at most {MAX_TTL_HOURS} hours, not {MAX_TTL_HOURS + 1}"
    ):
        parse_document({**raw, "ttl_hours": MAX_TTL_HOURS + 1})


def test_lift_counts_as_worth_only_for_marketing(samples: dict[tuple[str, str], AnyDocument]) -> None:
    raw = json.loads(canonical(samples["campaign", "win_back"]))
    asked = {"uplift": {"model": "moved", "value": 12.5}}
    plain, asking = parse_document(raw), parse_document(raw | asked)
    assert isinstance(plain, Campaign)
    assert isinstance(asking, Campaign)
    assert (plain.lift_micros, asking.lift_micros) == (0, 12_500_000)
    for wrong in ({"model": "moved"}, {"model": "moved", "value": 0}, {"model": "No name", "value": 1}):
        with pytest.raises(InvalidInput, match="uplift"):
            parse_document(raw | {"uplift": wrong})
    transactional = {"guarantee": "at_least_once", "holdout_pct": 0}
    with pytest.raises(InvalidInput, match="sent whatever it changes"):
        parse_document(raw | transactional | asked)


CAMPAIGN = {
    "kind": "campaign",
    "id": "sale",
    "name": "Sale",
    "topic": "promo",
    "owner": "growth",
    "audience": "everyone",
    "materials": ["shoe"],
    "channels": ["fcm"],
    "value_per_open": 0.05,
    "occurrence": {"every": "once"},
    "start_date": "2026-11-01",
    "end_date": "2026-12-31",
}
CHANNEL = {"kind": "channel", "id": "fcm", "provider": "x", "capacity_per_hour": 1, "quota_per_minute": 1}
OWED = {"topic": "orders", "guarantee": "at_least_once", "ttl_hours": 72}
TEMPLATE = {
    "kind": "template",
    "id": "t",
    "channels": ["fcm"],
    "variants": {"en": {"title": "a", "body": "b"}},
    "direct": OWED,
}
MATERIAL = {"kind": "material", "id": "m", "template": "t"}
WAITS = {"postpone_nights": 2}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (CHANNEL | {"capacity_per_hour": 10**20}, "capacity_per_hour: should be less than"),
        (CHANNEL | {"quota_per_minute": 10**20}, "quota_per_minute: should be less than"),
        (CHANNEL | {"max_per_vendor_day": {"x": 10**20}}, "max_per_vendor_day.x: should be less than"),
        (CAMPAIGN | {"budget": {"max_messages": 10**20}}, "budget.max_messages: should be less than"),
        (
            CAMPAIGN | {"budget": {"max_messages": 5, "min_messages": 6}},
            "min_messages 6 is above max_messages 5",
        ),
        (CAMPAIGN | {"postpone_nights": 7}, "postpone_nights: should be less than or equal to 6"),
        (CAMPAIGN | {"postpone_nights": 0}, "postpone_nights: should be greater than or equal to 1"),
        (CAMPAIGN | WAITS | {"guarantee": "at_least_once"}, "postpone_nights: a transactional campaign"),
        (CAMPAIGN | WAITS | {"canary": "2 %"}, "postpone_nights: who goes first must not wait"),
        (
            CAMPAIGN | WAITS | {"budget": {"max_messages": 5, "min_messages": 1}},
            "postpone_nights: with budget.min_messages it must send tonight",
        ),
        (
            CAMPAIGN | WAITS | {"occurrence": {"every": "daily"}, "caps": [{"messages": 1, "days": 2}]},
            "postpone_nights: a daily campaign loses a message with each night that it waits",
        ),
        (
            CAMPAIGN | WAITS | {"occurrence": {"every": "daily"}, "caps": [{"messages": 3, "days": 7}]},
            "a cap of its own leaves a person at most one in 3 days",
        ),
        (CAMPAIGN | {"speed_limit_per_minute": 10**20}, "speed_limit_per_minute: should be less than"),
        (CAMPAIGN | {"caps": [{"messages": 10**20, "days": 1}]}, "caps[0].messages: should be less than"),
        (CAMPAIGN | {"caps": [{"messages": 1, "days": 1}] * 21}, "caps: "),
        (
            CAMPAIGN | {"start_date": "0001-01-01"},
            "start_date: should be greater than or equal to 2000-01-01",
        ),
        (CAMPAIGN | {"end_date": "9999-12-31"}, "end_date: should be less than or equal to 2100-12-31"),
        (CAMPAIGN | {"start_date": "2001-01-01"}, "start_date: a campaign that comes once runs for at most"),
        (CAMPAIGN | {"id": "marketing__sale"}, "id: names that begin with transactional__ or marketing__"),
        (TEMPLATE | {"id": "x" * 50}, "direct: the id of such a template has at most 49 letters"),
        (TEMPLATE | {"direct": OWED | {"ttl_hours": 73}}, "direct: what is owed (at_least_once) is tried"),
        (MATERIAL | {"valid_from": "0001-01-01"}, "valid_from: should be greater"),
        (MATERIAL | {"valid_until": "9999-12-31"}, "valid_until: should be less"),
    ],
)
def test_numbers_and_days_have_bounds(raw: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_document(raw)
    assert says in refused.value.one_line()
    assert len(refused.value.one_line()) < 300


def test_a_campaign_may_run_for_long_unless_it_comes_once() -> None:
    always = {"start_date": "2000-01-01", "end_date": "2100-12-31"}
    assert parse_document(CAMPAIGN | always | {"occurrence": {"every": "daily"}})


def test_one_channel_is_short_for_a_list() -> None:
    raw = {"kind": "template", "id": "t", "variants": {"en": {"title": "a", "body": "b"}}}
    assert parse_document({**raw, "channel": "fcm"}) == parse_document({**raw, "channels": ["fcm"]})
    with pytest.raises(InvalidInput, match="template/t: channel: give channel or channels, not both"):
        parse_document({**raw, "channel": "fcm", "channels": ["fcm"]})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=10,
    )
)
def test_anything_at_all_is_a_document_or_has_problems(raw: object) -> None:
    for kind in KINDS:
        document, problems = check_document({**raw, "kind": kind} if isinstance(raw, dict) else raw)
        assert (document is None) == bool(problems)


def test_the_samples_fit_together_and_are_what_the_world_knows(
    store: CatalogStore, samples: dict[tuple[str, str], AnyDocument]
) -> None:
    assert len(plan(store, [SAMPLES]).having("created")) == len(samples)
    world = parameters().campaigns
    campaigns = {
        name: document
        for (kind, name), document in samples.items()
        if kind == "campaign" and isinstance(document, Campaign)
    }
    assert set(campaigns) == set(world)
    for name, campaign in campaigns.items():
        assert campaign.topic == world[name].topic
        assert list(campaign.channels) == list(world[name].channels)
        assert list(campaign.materials) == [f"{name}_{category}" for category in world[name].categories]
        for material in campaign.materials:
            document = samples["material", material]
            assert isinstance(document, Material)
            assert document.category == material.removeprefix(f"{name}_")


def test_every_sample_serves_the_planned_night(samples: dict[tuple[str, str], AnyDocument]) -> None:
    planned = [date(2026, 11, 15), date(2026, 11, 16)]  # the night of 2026-11-14 plans 04:00 to 04:00 UTC
    for document in samples.values():
        if isinstance(document, Campaign):
            assert any(document.occurrence_on(day) for day in planned), document.id


def test_windows_of_credit_are_hours_up_to_a_week(samples: dict[tuple[str, str], AnyDocument]) -> None:
    raw = json.loads(canonical(samples["campaign", "order_update"]))
    for hours in (0, 168):
        own = parse_document({**raw, "attribution": {"conversion_hours": hours}})
        assert isinstance(own, Campaign)
        assert own.attribution is not None
        assert (own.attribution.conversion_hours, own.attribution.open_hours) == (hours, 24)
    for wrong in ({"open_hours": 169}, {"open_hours": -1}, {"since": "sent"}, {"conversion": "Not one"}):
        with pytest.raises(InvalidInput, match="attribution"):
            parse_document({**raw, "attribution": wrong})


def test_a_template_without_direct_keeps_its_text() -> None:
    assert "direct" not in canonical(parse_document({**TEMPLATE, "direct": None}))
    assert '"direct":{"guarantee":"at_least_once"' in canonical(parse_document(TEMPLATE | {"id": "x" * 49}))
