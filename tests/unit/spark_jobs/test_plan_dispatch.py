"""One joint decision of a night of 600 people, without Spark.

Each shard is planned in this process. tests/unit/planning tests the mathematics of a shard.
"""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyroaring import BitMap
from pyspark import cloudpickle

from angelia.asking.night import open_night
from angelia.catalog.documents import canonical, parse_document
from angelia.contracts import arrow, dataset
from angelia.contracts.ids import message_id
from angelia.contracts.outcomes import DECIDED
from angelia.contracts.planned.pairs import DECIDED_PAIRS, PairWords, number_pairs
from angelia.contracts.rows import user_name, valid_rows
from angelia.lake import Lake
from spark_jobs import plan_dispatch
from spark_jobs.running.session import run_job
from tests.user_index import append_people

DS, BEFORE = "2026-11-14", "2026-11-13"
START = datetime(2026, 11, 15, 4, tzinfo=UTC)
N, CAPS, GAP_HOURS = 600, ((2, 1), (3, 7)), 5
MEMBERS = {"all": range(N), "even": range(0, N, 2), "late": range(500, N)}
CAMPAIGN = {
    "kind": "campaign", "name": "x", "topic": "promo", "owner": "me", "audience": "all",
    "channels": ["fcm", "sms"], "value_per_open": 1.0, "occurrence": {"every": "daily"},
    "start_date": "2026-11-01", "end_date": "2026-12-31",
}  # fmt: skip
CAMPAIGNS = [
    CAMPAIGN | {"id": "sale", "materials": ["shoe", "boot"], "holdout_pct": 5.0},
    CAMPAIGN | {"id": "digest", "audience": "even", "materials": ["news"], "budget": {"max_messages": 60}},
    CAMPAIGN | {"id": "nudge", "audience": "late", "materials": ["news"], "value_per_open": 0.0},
    CAMPAIGN | {"id": "parcel", "audience": "late", "materials": ["news"], "guarantee": "at_least_once"},
]
CHANNELS = [
    {"kind": "channel", "id": "fcm", "provider": "fcm_v1", "capacity_per_hour": 20, "quota_per_minute": 1000},
    {"kind": "channel", "id": "sms", "provider": "sms_http", "capacity_per_hour": 4, "quota_per_minute": 1000,
     "cost_per_message": 0.01},
]  # fmt: skip
POLICY = {
    "kind": "policy", "id": "default", "salt": "s", "min_gap_hours": GAP_HOURS,
    "caps": [{"messages": messages, "days": days} for messages, days in CAPS],
    "holdout": {"share_pct": 3.0, "salt": "h"}, "explore": {"slot_share_pct": 5.0, "epsilon": 0.1},
    "fatigue": {"horizon_days": 90, "refusals_at_most": 1.0},
}  # fmt: skip


# A price of fatigue that everybody's messages feel.
FATIGUE = {"tires": 0.3, "refuses": 0.001, "refuses_more": 1.0, "rate": 0.4, "tired_days": 2.0}


def rows(name: str, values: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(values, schema=arrow.schema(dataset(name)))


def write(
    lake: Lake, name: str, table: pa.Table, ds: str = DS, meta: dict[str, object] | None = None
) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 9))
        attempt.publish(meta=meta or {})


def push(i: int, at: datetime) -> dict[str, object]:
    key = message_id("old", user_name(i), at.isoformat())
    return {
        "ordinal": i, "message_id": key, "campaign_id": "old", "material_id": "shoe", "channel": "fcm",
        "kind": "sent", "at_ts": at, "sent_ts": at, "slot_propensity": None, "material_propensity": None,
    }  # fmt: skip


PUSHES = [
    *(push(i, START - timedelta(hours=8)) for i in range(0, N, 6)),
    *(push(i, START - timedelta(hours=30)) for i in range(0, N, 12)),
]


def pending(i: int) -> dict[str, object]:
    """Return last night's plan, which sends a person a message two hours before this one."""
    choice = {
        "campaign_id": "sale", "message_id": message_id("sale", user_name(i), BEFORE), "occurrence": BEFORE,
        "material_id": "shoe", "material_propensity": 1.0, "slot": START - timedelta(hours=2),
        "slot_propensity": None, "channel": "fcm", "outcome": "sent", "p_open": 0.1, "value_micros": 1,
        "price_micros": 0, "arm": None, "is_explore": False,
    }  # fmt: skip
    return {"ordinal": i, "user_id": user_name(i), "choices": [choice]}


PENDING = [pending(i) for i in range(0, N, 3)]


def prepare_night(lake: Lake, shard_bits: int) -> None:
    """Write all that a plan reads."""
    append_people(lake, [valid_rows("user_index", N)], shard_bits=shard_bits)
    people = valid_rows("user_features", N, ds=DS)
    reach = [["fcm", "sms"] if i % 5 else ["sms"] for i in range(N)]
    people = people.set_column(
        people.schema.get_field_index("channels"), people.schema.field("channels"),
        pa.array(reach, pa.list_(pa.string())),
    )  # fmt: skip
    write(lake, "user_features", people)
    write(lake, "send_times", valid_rows("send_times", N, ds=DS))
    scores = [
        {"ordinal": i, "campaign_id": one["id"], "material_id": material, "p_open": 0.02 + (i * 7 % 50) / 200}
        for one in CAMPAIGNS for i in MEMBERS[one["audience"]] for material in one["materials"]
    ]  # fmt: skip
    scores.sort(key=lambda row: row["ordinal"])
    write(lake, "material_scores", rows("material_scores", scores), meta={"fatigue": FATIGUE})
    members = []
    for name, ordinals in MEMBERS.items():
        for shard in range(((N - 1) >> shard_bits) + 1):
            inside = BitMap(i for i in ordinals if i >> shard_bits == shard)
            members.append({"audience": name, "shard": shard, "cardinality": len(inside),
                            "bitmap": inside.serialize()})  # fmt: skip
    write(lake, "audience_members", rows("audience_members", members))
    for ds in (BEFORE, DS):
        that_day = [row for row in PUSHES if row["at_ts"].date().isoformat() == ds]
        write(lake, "user_pushes", rows("user_pushes", that_day), ds)
    write(lake, "decisions", rows("decisions", PENDING), BEFORE)
    bodies = [
        {"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))}
        for raw in (POLICY, *CHANNELS, *CAMPAIGNS)
    ]
    write(lake, "catalog_snapshot", rows("catalog_snapshot", bodies))


@pytest.fixture(scope="module")
def here() -> Iterator[pytest.MonkeyPatch]:
    """Yield a patch of settings for the whole file.

    Shards run in this process, and half the people set the prices.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_dispatch, "SAMPLE_USERS", N // 2)
        yield patch


def settle(patch: pytest.MonkeyPatch, home: Path, shard_bits: int) -> Lake:
    """Point the settings at a home of its own and return its lake, ready to be planned."""
    for name, value in (("HOME", str(home)), ("SPARK_MASTER", "inline"), ("SHARD_BITS", str(shard_bits))):
        patch.setenv(f"ANGELIA_{name}", value)
    lake = Lake.open(str(home / "lake"))
    prepare_night(lake, shard_bits)
    return lake


@pytest.fixture(scope="module")
def nights(here: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Lake]:
    """Return the same night planned in three shards and in two, by shard bits."""
    planned = {}
    for shard_bits in (8, 9):
        with pytest.MonkeyPatch.context() as patch:
            lake = settle(patch, tmp_path_factory.mktemp(f"bits-{shard_bits}"), shard_bits)
            plan_dispatch.main(["--ds", DS])
        planned[shard_bits] = lake
    return planned


@pytest.fixture(scope="module")
def decisions(nights: dict[int, Lake]) -> list[dict[str, object]]:
    """Return every decision of the night in three shards, with the person's ordinal."""
    lake = nights[8]
    people = lake.read(lake.require("decisions", ds=DS)).to_pylist()
    return [choice | {"ordinal": row["ordinal"]} for row in people for choice in row["choices"]]


def test_two_shard_sizes_decide_the_same_bytes(nights: dict[int, Lake]) -> None:
    written = [plan_bytes(lake) for lake in nights.values()]
    metas = [lake.require("decisions", ds=DS).meta for lake in nights.values()]
    files = [len(lake.require("decisions", ds=DS).files) for lake in nights.values()]
    assert files == [3, 2]
    assert written[0] == written[1]
    assert metas[0] == metas[1]


def plan_bytes(lake: Lake) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(lake.read(lake.require("decisions", ds=DS)).sort_by("ordinal").combine_chunks(), sink)
    return sink.getvalue().to_pybytes()


def test_pairs_by_number_stand_beside_the_plan(nights: dict[int, Lake]) -> None:
    lake = nights[8]
    plan, pairs = (lake.require(name, ds=DS) for name in ("decisions", "decided_pairs"))
    words = PairWords.of(pairs.meta)
    assert pairs.inputs == (plan.citation(),)
    assert words.campaigns == tuple(sorted(one["id"] for one in CAMPAIGNS))
    assert words.materials == ("boot", "news", "shoe")
    assert lake.read(pairs).equals(arrow.conform(number_pairs(lake.read(plan), words), DECIDED_PAIRS))


def test_workers_that_finish_in_any_order_plan_the_same(monkeypatch, here, tmp_path, nights) -> None:
    """As on `local[2]`: each pass does its shards in another order and process."""
    lake = settle(monkeypatch, tmp_path, 8)

    def backwards(spark, shards, work):
        work = pickle.loads(cloudpickle.dumps(work))
        return [work(number) for number in reversed(shards)][::-1]

    monkeypatch.setattr(plan_dispatch, "run_shards", backwards)
    monkeypatch.setattr(plan_dispatch, "STEPS_HERE", 0)
    plan_dispatch.main(["--ds", DS])
    assert plan_bytes(lake) == plan_bytes(nights[8])


def test_every_considered_pair_has_one_outcome(decisions) -> None:
    considered = [(i, one["id"]) for one in CAMPAIGNS for i in MEMBERS[one["audience"]]]
    assert sorted((row["ordinal"], row["campaign_id"]) for row in decisions) == sorted(considered)
    outcomes = Counter(row["outcome"] for row in decisions)
    assert set(outcomes) <= set(DECIDED)
    # The night is tight enough that each of these reasons is met.
    tight = {"sent", "capped", "no_capacity", "no_value", "not_chosen", "no_budget"}
    assert tight <= set(outcomes), outcomes
    for row in decisions:
        is_sent = row["outcome"] == "sent"
        assert (row["slot"] is not None, row["channel"] is not None) == (is_sent, is_sent)


def test_each_choice_tells_what_it_was_drawn_from(nights: dict[int, Lake], decisions) -> None:
    materials = nights[8].require("decisions", ds=DS).meta["materials"]
    assert materials == {
        one["id"]: one["materials"] for one in sorted(CAMPAIGNS, key=lambda campaign: campaign["id"])
    }
    for row in decisions:
        bits = np.unpackbits(np.frombuffer(row["eligible"], np.uint8)).tolist()
        names = materials[row["campaign_id"]]
        assert bits[: len(names)] == [1] * len(names)
        assert not any(bits[len(names) :])
        assert row["material_id"] in names


def test_caps_and_gap_hold_over_pushes_and_pending(decisions) -> None:
    before, planned = defaultdict(list), defaultdict(list)
    for row in PUSHES:
        before[row["ordinal"]].append(row["at_ts"])
    for row in PENDING:
        before[row["ordinal"]] += [choice["slot"] for choice in row["choices"]]
    for row in decisions:
        if row["outcome"] == "sent" and row["campaign_id"] != "parcel":  # transactional: outside caps and gap
            planned[row["ordinal"]].append(row["slot"])
    assert any(len(slots) == 2 for slots in planned.values())
    assert any(before[i] for i in planned)
    for i, slots in planned.items():
        every = sorted([*before[i], *slots])
        for at in slots:
            for messages, days in CAPS:
                assert sum(at - timedelta(days=days) < other <= at for other in every) <= messages
        for earlier, later in pairwise(every):
            assert later not in slots or later - earlier >= timedelta(hours=GAP_HOURS)


def test_the_certificate_counts_the_plan_and_bounds_it(nights: dict[int, Lake], decisions) -> None:
    meta = nights[8].require("decisions", ds=DS).meta
    sent = [row for row in decisions if row["outcome"] == "sent"]
    chosen = sum(row["value_micros"] for row in sent if not row["is_explore"])
    assert 0 < chosen == meta["primal_micros"] <= meta["bound_micros"]
    assert meta["gap_pct"] == round(100 * (1 - chosen / meta["bound_micros"]), 4)
    assert meta["outcomes"] == dict(sorted(Counter(row["outcome"] for row in decisions).items()))
    assert meta["n_explore"] == sum(row["is_explore"] for row in sent) > 0
    chances = [(row["material_propensity"], int.from_bytes(row["eligible"]).bit_count()) for row in sent]
    assert meta["n_tried"] == sum(chance < 1 / n - 1e-9 for chance, n in chances)
    used = Counter(f"{row['channel']} {row['slot']:%Y-%m-%dT%H}" for row in sent)
    used += Counter(f"budget {row['campaign_id']}" for row in sent if row["campaign_id"] == "digest")
    assert {one["limit"]: one["used"] for one in meta["constraints"] if one["used"]} == used
    assert all(one["used"] <= one["capacity"] for one in meta["constraints"])
    assert any(one["price_micros"] for one in meta["constraints"])


def test_refusals_are_kept_to_the_policys_limit(nights: dict[int, Lake]) -> None:
    kept = nights[8].require("decisions", ds=DS).meta["fatigue"]["refusals"]
    assert kept["at_most"] == 1.0
    assert kept["ratio"] <= 1.0 < kept["unpriced"]
    assert kept["opens"] > 0
    # Whoever asks about one person of the night reads the price that the plan found.
    price = open_night(nights[8], DS).terms.refusal_price
    assert price is not None
    assert price.as_meta() == kept


def test_what_passes_between_the_shards_is_removed(nights: dict[int, Lake]) -> None:
    for lake in nights.values():
        assert not [name for name in lake.store.list("") if "/sample/" in name]


def test_hours_that_have_passed_are_not_planned(monkeypatch, here, tmp_path) -> None:
    lake = settle(monkeypatch, tmp_path, 8)
    plan_dispatch.main(["--ds", DS, "--skip-before", "2026-11-15T10:30Z"])
    commit = lake.require("decisions", ds=DS)
    slots = [choice["slot"] for row in lake.read(commit).to_pylist() for choice in row["choices"]]
    assert min(slot for slot in slots if slot) >= START + timedelta(hours=6)
    assert commit.meta["hours_passed"] == 6
    assert commit.params["skip_before"] == "2026-11-15T10:30:00+00:00"


def test_a_replaced_plan_of_last_night_is_refused(monkeypatch, here, tmp_path, capsys) -> None:
    lake = settle(monkeypatch, tmp_path, 8)
    find_inputs = plan_dispatch.find_inputs

    def replaced_right_after(*words):
        monkeypatch.setattr(plan_dispatch, "find_inputs", find_inputs)
        inputs = find_inputs(*words)
        write(lake, "decisions", rows("decisions", PENDING[1:]), BEFORE)
        return inputs

    monkeypatch.setattr(plan_dispatch, "find_inputs", replaced_right_after)
    assert run_job(plan_dispatch.main, ["--ds", DS]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "error: last night's plan was replaced while this one was made; rerun plan_dispatch"
    assert lake.head("decisions", ds=DS) is None


def test_a_lake_without_people_is_planned_empty(monkeypatch, here, tmp_path) -> None:
    monkeypatch.setitem(MEMBERS, "all", ())
    monkeypatch.setitem(MEMBERS, "even", ())
    monkeypatch.setitem(MEMBERS, "late", ())
    lake = settle(monkeypatch, tmp_path, 8)
    plan_dispatch.main(["--ds", DS])
    commit = lake.require("decisions", ds=DS)
    assert (commit.rows, commit.meta["gap_pct"], commit.meta["outcomes"]) == (0, 0.0, {})


def test_a_campaign_by_value_takes_the_dear_channel(monkeypatch, here, tmp_path) -> None:
    """Texts are opened twice as often, and cost 0.1: who opens much gets one."""
    lake = settle(monkeypatch, tmp_path, 9)
    sale = CAMPAIGNS[0] | {"choose_channel": "best", "holdout_pct": 0.0}
    fcm, sms = (channel | {"capacity_per_hour": 10_000} for channel in CHANNELS)
    bodies = [
        {"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))}
        for raw in (POLICY, fcm, sms | {"cost_per_message": 0.1}, sale)
    ]
    write(lake, "catalog_snapshot", rows("catalog_snapshot", bodies))
    meta = {"channel_responses": {"sms": 2.0}}
    write(lake, "send_times", valid_rows("send_times", N, ds=DS), meta=meta)
    plan_dispatch.main(["--ds", DS])
    plan = lake.require("decisions", ds=DS)
    assert plan.meta["channel_responses"] == {"fcm": 1.0, "sms": 2.0}
    assert plan.meta["by_value"] == ["sale"]
    assert 0 <= plan.meta["gap_pct"] < 1
    choices = [(row["ordinal"], one) for row in lake.read(plan).to_pylist() for one in row["choices"]]
    sent = [(i, one) for i, one in choices if one["outcome"] == "sent" and not one["is_explore"]]
    both = [one for i, one in sent if i % 5]  # others have no push
    by = {name: [one["value_micros"] for one in both if one["channel"] == name] for name in ("fcm", "sms")}
    assert min(map(len, by.values())) > 20
    # At twice the opens a text bears its cost where a message by push is worth a hundred thousand.
    assert max(by["fcm"]) <= 100_000 <= min(by["sms"])
    # Who has no push gets nothing that a text's cost exceeds, though push, the cheapest way, costs nothing.
    texts = [one for i, one in choices if not i % 5 and one["outcome"] in ("sent", "not_chosen", "no_value")]
    poor = [one["outcome"] for one in texts if one["outcome"] != "sent" and one["value_micros"] <= 100_000]
    assert set(poor) == {"no_value"}
    assert {one["outcome"] for one in texts} == {"sent", "no_value"}


def test_what_is_paid_later_is_worked_out_from_the_net() -> None:
    # Sent in slot 1 and worth 200 before costs: half and 10 are taken off, and 6 for the hour.
    held = SimpleNamespace(slot=np.array([1, -1]), channel=np.array([0, -1]), bid=np.array([81, 0]))
    limits = SimpleNamespace(cost=np.array([3]), boost=np.zeros(0, np.int64))
    terms = SimpleNamespace(limits=lambda: limits)
    rows = pa.table({"later_flat": [10.0, 10.0], "later_share": [0.5, 0.5]})
    by_hour = pa.array([[7.0, 6.0], [8.0, 9.0]], pa.list_(pa.float32(), 2))
    priced = rows.append_column("later_by_hour", by_hour)
    for table, paid in ((priced, 116), (rows, 104)):
        night = SimpleNamespace(held=held)
        assert plan_dispatch.later_paid(terms, table, night).tolist() == [paid]  # type: ignore[arg-type]
    # By a channel that makes three times of it, so that 252 were left of 84.
    held.bid[0], limits.boost = 249, np.array([[3072]])
    night.problem = SimpleNamespace(pair_campaign=np.array([0, 0]))
    assert plan_dispatch.later_paid(terms, priced, night).tolist() == [116]  # type: ignore[arg-type]
