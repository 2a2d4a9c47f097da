"""The logging policy: exact propensities, allowed hours, and no refused topic."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from angelia.lake import Lake
from angelia.world.parameters import parameters

DS = "2026-11-14"


def test_slot_propensity_is_one_over_the_allowed_hours(world_lake: Lake) -> None:
    profiles = world_lake.read(
        world_lake.require("user_profiles", ds=DS), ["user_id", "timezone"]
    ).to_pylist()
    zones = {row["user_id"]: row["timezone"] for row in profiles if row["timezone"] in parameters().timezones}
    start, end = parameters().policy.allowed_hours
    seen = set()
    for row in world_lake.read(world_lake.require("push_history", ds="2026-11-09")).to_pylist():
        zone = zones.get(row["user_id"])
        if zone is None:
            continue
        local = row["sent_ts"].astimezone(ZoneInfo(zone))
        assert start <= local.hour < end
        slots = 13 if local.utcoffset().total_seconds() % 3600 else 14
        assert row["slot_propensity"] == 1 / slots
        seen.add(slots)
    assert seen == {13, 14}


def test_slots_are_uniform_and_materials_follow_their_propensity(world_lake: Lake) -> None:
    rows = [
        row
        for leaf in world_lake.partitions("push_history")
        for row in world_lake.read(world_lake.require("push_history", **leaf)).to_pylist()
    ]
    assert len(rows) > 5_000
    # Inverse propensity weights of what was drawn average the number of choices, for hours and for materials.
    slots = np.array([1 / row["slot_propensity"] for row in rows])
    assert 13.8 < slots.mean() < 14
    campaigns = parameters().materials()
    for campaign in ("price_drop", "weekly_digest"):
        mine = [row for row in rows if row["campaign_id"] == campaign]
        for material in campaigns[campaign]:
            weights = np.array(
                [(row["material_id"] == material) / row["material_propensity"] for row in mine]
            )
            error = weights.std() / np.sqrt(len(weights))
            assert abs(weights.mean() - 1) < 4 * error, material
            assert error < 0.1
    hours = np.array([row["sent_ts"].hour for row in rows if row["slot_propensity"] == 1 / 14])
    minutes = np.array([row["sent_ts"].minute for row in rows])
    assert len(np.unique(hours)) == 24
    assert abs(minutes.mean() - 29.5) < 1


def test_material_propensity_is_the_documented_mixture(world_lake: Lake) -> None:
    tags = {
        row["user_id"]: row["tags"]
        for row in world_lake.read(
            world_lake.require("user_profiles", ds=DS), ["user_id", "tags"]
        ).to_pylist()
    }
    policy, campaigns = parameters().policy, parameters().campaigns
    seen = set()
    for row in world_lake.read(world_lake.require("push_history", ds=DS)).to_pylist():
        if row["user_id"] not in tags:
            continue  # one of the soiled profiles
        mine = campaigns[row["campaign_id"]].categories
        score = {
            category: np.exp(policy.material_tag_score * (category in tags[row["user_id"]]))
            for category in mine
        }
        drawn = row["material_id"].removeprefix(row["campaign_id"] + "_")
        expected = policy.material_epsilon / len(mine) + (1 - policy.material_epsilon) * score[drawn] / sum(
            score.values()
        )
        assert row["material_propensity"] == pytest.approx(expected, rel=1e-12)
        seen.add(round(expected, 6))
    assert len(seen) > 5


def test_refused_topics_are_not_pushed(world_lake: Lake) -> None:
    out = {
        row["user_id"]: row["updated_ts"]
        for row in world_lake.read(world_lake.require("user_preferences", ds=DS)).to_pylist()
        if row["kind"] == "topic" and row["name"] == "promo" and not row["is_opted_in"]
    }
    assert len(out) > 100
    topics = {name: campaign.topic for name, campaign in parameters().campaigns.items()}
    before = 0
    for leaf in world_lake.partitions("push_history"):
        for row in world_lake.read(world_lake.require("push_history", **leaf)).to_pylist():
            if topics[row["campaign_id"]] == "promo" and row["user_id"] in out:
                assert row["sent_ts"] < out[row["user_id"]]
                before += 1
    assert before, "somebody was pushed before they refused"
