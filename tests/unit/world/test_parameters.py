"""The frozen parameter file, and its agreement with the sample catalog."""

from __future__ import annotations

from pathlib import Path

import yaml

from angelia.world.parameters import parameters, parameters_sha256

FROZEN = "4d2ba4c4186fce15b679ea7012c8f0ddad826f7ec5a95ac0e6601f205ebafcdd"
CAMPAIGNS = Path(__file__).parents[3] / "campaigns"


def test_parameters_are_frozen() -> None:
    assert parameters_sha256() == FROZEN, (
        "angelia/world/parameters.yaml is frozen: every published figure was measured in that world. "
        "A change needs an ADR in docs/adr/ and a rerun of every published figure; then pin the "
        "new sha256 here."
    )


def test_shares_add_up() -> None:
    given = parameters()
    assert abs(sum(country.share for country in given.countries) - 1) < 1e-9
    assert abs(sum(archetype.share for archetype in given.hours.archetypes.values()) - 1) < 1e-9
    for country in given.countries:
        for shares in (country.locales, country.vendors, country.provinces, country.timezones):
            assert abs(sum(shares.values()) - 1) < 1e-9, country.code
    size = len(given.categories)
    assert len(given.category_popularity) == len(given.response.category) == size
    assert len(given.activity.weekday) == len(given.activity.purchase_weekday) == 7


def test_timezones_cover_half_hours_and_clock_changes() -> None:
    assert {
        "Asia/Kolkata",
        "Australia/Adelaide",
        "Asia/Kathmandu",
        "Europe/London",
        "America/New_York",
        "Asia/Shanghai",
    } <= set(parameters().timezones)


def test_campaigns_and_materials_are_those_of_the_sample_catalog() -> None:
    documents = [
        document
        for path in sorted(CAMPAIGNS.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    catalog = {document["id"]: document for document in documents if document["kind"] == "campaign"}
    materials = {
        document["id"]: document["category"] for document in documents if document["kind"] == "material"
    }
    given = parameters()
    assert set(catalog) == set(given.campaigns)
    for name, campaign in given.campaigns.items():
        assert set(catalog[name]["materials"]) == set(given.materials()[name]), name
        assert catalog[name]["topic"] == campaign.topic, name
        for material, category in zip(given.materials()[name], campaign.categories, strict=True):
            assert materials[material] == category, material
