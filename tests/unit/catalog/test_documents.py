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
    AnyDocument,
    Campaign,
    Material,
    Occurrence,
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


@pytest.mark.parametrize(
    ("every", "weekdays", "day", "key"),
    [
        ("once", None, "2026-11-15", "once"),
        ("daily", None, "2026-11-15", "2026-11-15"),
        ("weekly", None, "2026-11-15", "2026-W46"),
        ("weekly", None, "2026-11-16", "2026-W47"),
        ("weekly", None, "2027-01-01", "2026-W53"),  # the ISO year, not the calendar's
        ("weekly", ["sat"], "2026-11-14", "2026-W46"),
        ("weekly", ["sat"], "2026-11-15", None),
        ("daily", ["mon", "tue"], "2026-11-17", "2026-11-17"),
    ],
)
def test_occurrence_keys(every: str, weekdays: list[str] | None, day: str, key: str | None) -> None:
    occurrence = Occurrence.model_validate_json(json.dumps({"every": every, "weekdays": weekdays}))
    assert occurrence.key(date.fromisoformat(day)) == key


def test_canonical_text_is_stable_and_complete(samples: dict[tuple[str, str], AnyDocument]) -> None:
    for document in samples.values():
        text = canonical(document)
        again = parse_document(json.loads(text))
        assert again == document
        assert canonical(again) == text
        assert set(json.loads(text)) == set(type(document).model_fields)


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


def test_a_transactional_message_lives_no_longer_than_its_delivery_is_tried(
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
