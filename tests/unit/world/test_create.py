"""Creating a world: same seed, same bytes; within the contracts; true propensities."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.compute as pc
import pytest

from angelia.cli import main
from angelia.contracts import dataset, ids
from angelia.contracts.constraints import constraints
from angelia.lake import Lake
from angelia.quality.gates import measure
from angelia.world import create as create_module
from angelia.world.clock import day_number
from angelia.world.create import create_world
from angelia.world.parameters import parameters

DS = "2026-11-14"
SOURCES = ("user_profiles", "user_endpoints", "user_preferences", "user_events", "push_history")


def shapes(lake: Lake) -> dict[str, str]:
    """Return the sha256 of every file of every newest source commit, by leaf and file name."""
    by_leaf = {}
    for name in SOURCES:
        for leaf in lake.partitions(name):
            for entry in lake.require(name, **leaf).files:
                by_leaf[f"{name}/{leaf['ds']}/{entry.path.rsplit('/', 1)[-1]}"] = entry.sha256
    return by_leaf


def make(
    tmp_path: Path, name: str, *, users: int = 500, days: int = 4, seed: int = 3, processes: int = 1
) -> Lake:
    root = str(tmp_path / name)
    lake = Lake.open(root)
    create_world(
        lake, root, users=users, days=days, seed=seed, anchor_day=day_number(DS), processes=processes
    )
    return lake


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, second, other = make(tmp_path, "a"), make(tmp_path, "b"), make(tmp_path, "c", seed=4)
    assert len(shapes(first)) == 4 + 4 + 3
    assert shapes(first) == shapes(second)
    assert all(shapes(first)[leaf] != sha for leaf, sha in shapes(other).items())


def test_bytes_do_not_depend_on_processes(tmp_path: Path) -> None:
    users = create_module.BLOCK + 200  # two blocks
    assert shapes(make(tmp_path, "one", users=users, days=1)) == shapes(
        make(tmp_path, "two", users=users, days=1, processes=2)
    )


def test_people_do_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    small, large = make(tmp_path, "small", users=200), make(tmp_path, "large", users=300)
    for name in ("user_profiles", "push_history"):
        few = small.read(small.require(name, ds=DS)).to_pylist()
        many = {
            row["message_id" if name == "push_history" else "user_id"]: row
            for row in large.read(large.require(name, ds=DS)).to_pylist()
        }
        assert few
        assert all(many[row["message_id" if name == "push_history" else "user_id"]] == row for row in few)


def test_creating_again_leaves_the_standing_commits(tmp_path: Path) -> None:
    lake = make(tmp_path, "a")
    make(tmp_path, "a")
    assert {len(lake.history(name, ds=DS)) for name in SOURCES} == {1}
    make(tmp_path, "a", seed=5)
    assert {len(lake.history(name, ds=DS)) for name in SOURCES} == {2}


@pytest.mark.parametrize("name", SOURCES)
def test_every_constraint_holds_within_its_tolerance(world_lake: Lake, name: str) -> None:
    for leaf in world_lake.partitions(name):
        measures = measure(world_lake, name, leaf["ds"])
        for check in constraints(dataset(name)):
            bad = measures.n_bad.get(check.name) or 0
            assert 100 * bad <= check.tolerated_pct * measures.n_rows, (
                leaf,
                check.name,
                bad,
                measures.n_rows,
            )


def test_some_rows_are_dirty(world_lake: Lake) -> None:
    profiles = measure(world_lake, "user_profiles", DS).n_bad
    assert profiles["timezone.max_null"] == 24  # 0.8 % of 3,000
    assert profiles["timezone.rule"] == 4
    assert profiles["key.unique"]
    assert profiles["birth_year.range"]
    assert profiles["user_id.not_null"]
    assert measure(world_lake, "user_events", DS).n_bad["key.unique"]


def test_some_events_are_late_and_none_more_than_three_days(world_lake: Lake) -> None:
    events = world_lake.read(world_lake.require("user_events", ds=DS))
    happened = events["event_ts"].cast("int64").to_numpy() // 86_400_000_000
    late = day_number(DS) - happened
    assert set(late[late > 0]) == {1, 2, 3}
    assert 0 < (late > 0).mean() < 0.02


def test_events_are_of_their_kind(world_lake: Lake) -> None:
    events = world_lake.read(world_lake.require("user_events", ds=DS))
    clean = events.filter(
        pc.and_(
            pc.match_substring_regex(events["event_type"], "^[a-z]+$"),
            pc.less(pc.fill_null(pc.abs(events["value"]), 0), 1e6),
        )
    )
    for kind, has_item, has_value in (
        ("open", False, False),
        ("view", True, False),
        ("cart", True, False),
        ("purchase", True, True),
    ):
        rows = clean.filter(pc.equal(clean["event_type"], kind))
        assert len(rows), kind
        assert (rows["item"].null_count == 0) == has_item
        assert (rows["value"].null_count == 0) == has_value


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


def test_message_ids_are_the_contracts_for_reachable_people(world_lake: Lake) -> None:
    reachable = {
        (row["user_id"], row["channel"])
        for row in world_lake.read(world_lake.require("user_endpoints", ds=DS)).to_pylist()
        if row["is_active"] and row["user_id"]
    }
    rows = world_lake.read(world_lake.require("push_history", ds=DS)).to_pylist()
    for row in rows:
        assert row["message_id"] == ids.message_id(row["campaign_id"], row["user_id"], DS)
        assert row["opened_ts"] is None or row["opened_ts"] > row["sent_ts"]
        assert re.fullmatch(r"u\d{7}", row["user_id"])
    # Endpoint rows whose user id was soiled are a handful.
    assert sum((row["user_id"], row["channel"]) not in reachable for row in rows) <= 3


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


@pytest.mark.parametrize(
    "option",
    [("--users", "0"), ("--days", "0"), ("--seed", "-1"), ("--ds", "yesterday"), ("--users", "99999999")],
)
def test_bad_input_is_one_line_and_writes_nothing(
    settings_home: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["world", "create", *option])
    assert stop.value.code == 2
    assert option[0] in capsys.readouterr().err
    assert not list(settings_home.rglob("*.parquet"))


def test_command_prints_one_json_object(settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["world", "create", "--users", "50", "--days", "2", "--json"])
    assert not stop.value.code
    printed = json.loads(capsys.readouterr().out)
    assert printed["users"] == 50
    assert printed["days"] == ["2026-11-13", DS]
    assert printed["rows"]["user_profiles"] == 50
