"""A plan reaches back as far as its campaigns ask, and holds no more than matters."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from pyroaring import BitMap

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import Catalog, catalog_of
from angelia.catalog.store import StoredDocument
from angelia.contracts import arrow, dataset
from angelia.contracts.ids import message_id
from angelia.contracts.rows import valid_rows
from angelia.delivery.sending.pacing import TokenBucket
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.planning.eligibility import build
from angelia.planning.inputs import WAIT_CYCLES, days_needed, find_inputs, load_shard, terms_of
from angelia.planning.offers import MaterialFacts, material_facts
from angelia.planning.postponing import NIGHTS_AHEAD
from angelia.planning.reading import Blocks
from angelia.planning.terms import Terms
from angelia.timing.local_time import local_grid
from angelia.users.features import refused_topics
from tests.user_index import append_people

DS = "2026-11-14"
NO_FACTS = MaterialFacts({}, {})
POLICY = {"kind": "policy", "id": "default", "caps": [{"messages": 9, "days": 7}], "salt": "s",
"holdout": {"share_pct": 0, "salt": "h"},
          "explore": {"slot_share_pct": 0, "epsilon": 0.1}}  # fmt: skip
FCM = {
    "kind": "channel",
    "id": "fcm",
    "provider": "fcm_v1",
    "capacity_per_hour": 1000,
    "quota_per_minute": 1000,
}
WELCOME = {"kind": "campaign", "id": "welcome", "name": "W", "topic": "promo", "owner": "o",
"audience": "all", "materials": ["hello"],
           "channels": ["fcm"], "value_per_open": 1.0, "occurrence": {"every": "daily"},
           "start_date": "2026-09-01", "end_date": "2026-12-31"}  # fmt: skip
ONCE = {"occurrence": {"every": "once"}}


def catalog(
    policy: dict[str, object] | None = None, *, stopped: tuple[str, ...] = (), **changes: object
) -> Catalog:
    return catalog_of(
        [StoredDocument(parse_document(raw), 1) for raw in (POLICY | (policy or {}), FCM, WELCOME | changes)],
        stopped,
    )


def terms(
    policy: dict[str, object] | None = None, *, stopped: tuple[str, ...] = (), **changes: object
) -> Terms:
    return terms_of(catalog(policy, stopped=stopped, **changes), DS, 28, None)


@pytest.mark.parametrize(
    ("ds", "weekdays", "occurrence"),
    [
        ("2026-11-14", None, "2026-W46"),  # from Sunday 04:00 UTC: Sunday's, where it is Monday already, too
        ("2026-11-15", None, "2026-W47"),
        ("2026-11-14", ["mon"], "2026-W47"),
        ("2026-11-15", ["sun"], "2026-W46"),
        ("2026-11-14", ["sun", "mon"], "2026-W46"),
    ],
)
def test_a_night_names_one_week_by_the_day_it_begins(
    ds: str, weekdays: list[str] | None, occurrence: str
) -> None:
    weekly = catalog(occurrence={"every": "weekly", **({"weekdays": weekdays} if weekdays else {})})
    (campaign,) = terms_of(weekly, ds, 28, None).campaigns
    assert campaign.occurrence == occurrence


@pytest.mark.parametrize(
    ("changes", "nights"),
    [
        ({}, ()),
        # The plan is that of Sunday, the last day of its week, and Saturday's of a night earlier.
        ({"occurrence": {"every": "weekly"}, "postpone_nights": 6}, ()),
        ({"occurrence": {"every": "weekly", "weekdays": ["mon", "wed"]}, "postpone_nights": 6}, (1, 2, 3, 4)),
        (ONCE | {"postpone_nights": 4}, (1, 2, 3, 4)),
        (ONCE | {"postpone_nights": 4, "end_date": "2026-11-17"}, (1, 2, 3)),
        ({"postpone_nights": 3, "caps": [{"messages": 1, "days": 7}]}, (1, 2, 3)),
        (
            {
                "occurrence": {"every": "daily", "weekdays": ["sun", "tue"]},
                "postpone_nights": 3,
                "caps": [{"messages": 1, "days": 7}],
            },
            (1, 2, 3),
        ),
    ],
)
def test_a_message_waits_within_its_occurrence_or_caps(
    changes: dict[str, object], nights: tuple[int, ...]
) -> None:
    (campaign,) = terms(**changes).campaigns
    assert campaign.later_nights == nights
    is_bound = campaign.occurrence in ("once", "2026-W46", "2026-W47")
    assert campaign.wait_cycle == (
        0 if is_bound or not nights else WAIT_CYCLES * (1 + changes["postpone_nights"])
    )


def test_no_campaign_may_wait_longer_than_is_looked_ahead() -> None:
    assert terms(**ONCE, postpone_nights=NIGHTS_AHEAD).campaigns[0].later_nights[-1] == NIGHTS_AHEAD
    with pytest.raises(InvalidInput, match="postpone_nights"):
        terms(**ONCE, postpone_nights=NIGHTS_AHEAD + 1)


@pytest.mark.parametrize(
    ("night_terms", "history_days", "days"),
    [
        (terms(), 28, 28),
        (terms({"caps": [{"messages": 9, "days": 60}]}), 28, 60),
        (terms({"min_gap_hours": 168}), 1, 9),
        (terms(caps=[{"messages": 1, "days": 90}]), 28, 90),
        (
            terms(**ONCE),
            28,
            76,
        ),  # 30 days of September, 31 of October, 14 of November; and one for those whose clocks are ahead
        (terms(**ONCE, stopped=("welcome",)), 28, 28),
        (terms(occurrence={"every": "weekly"}), 1, 9),
    ],
)
def test_the_longest_of_caps_repeats_and_history_decides(
    night_terms: Terms, history_days: int, days: int
) -> None:
    assert days_needed(night_terms, history_days) == days


def push(campaign: str, user: int, occurrence: str, at: datetime) -> dict[str, object]:
    key = message_id(campaign, f"u{user:07d}", occurrence)
    return {"ordinal": user, "message_id": key, "campaign_id": campaign, "material_id": "hello",
    "channel": "fcm", "kind": "sent", "at_ts": at,
            "sent_ts": at, "slot_propensity": None, "material_propensity": None}  # fmt: skip


@pytest.fixture
def night(lake: Lake) -> Lake:
    """Return a night of four people, all in the audience.

    User 1 got `welcome` 40 days ago, and another campaign's message with it.
    """
    append_people(lake, [valid_rows("user_index", 4)], shard_bits=14)
    features = valid_rows("user_features", 4, ds=DS)
    free = {"opted_out_topics": pa.array([[]] * 4, pa.list_(pa.string())),
    "is_suppressed": pa.array([False] * 4),
            "channels": pa.array([["fcm"]] * 4, pa.list_(pa.string()))}  # fmt: skip
    for name, values in free.items():
        features = features.set_column(
            features.schema.get_field_index(name), features.schema.field(name), values
        )
    scores = [
        {"ordinal": i, "campaign_id": "welcome", "material_id": "hello", "p_open": 0.1} for i in range(4)
    ]
    everybody = {"audience": "all", "shard": 0, "cardinality": 4, "bitmap": BitMap(range(4)).serialize()}
    at = datetime(2026, 10, 5, 9, tzinfo=UTC)
    write(lake, "user_features", features)
    write(lake, "send_times", valid_rows("send_times", 4, ds=DS))
    write(lake, "material_scores", rows("material_scores", scores))
    write(lake, "audience_members", rows("audience_members", [everybody]))
    write(
        lake,
        "user_pushes",
        rows("user_pushes", [push("welcome", 1, "once", at), push("sale", 1, "once", at)]),
        at.date().isoformat(),
    )
    return lake


def rows(name: str, records: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(records, schema=arrow.schema(dataset(name)))


def write(lake: Lake, name: str, table: pa.Table, ds: str = DS) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 0))
        attempt.publish()


def test_caps_count_the_plan_that_is_sent(night: Lake) -> None:
    before = "2026-11-13"
    write(night, "decisions", valid_rows("decisions", 4), before)
    pending = night.require("decisions", ds=before)
    keys = {"send_hour": "2026-11-14T04", "channel": "fcm", "priority": "low", "part": "0000"}
    with night.attempt("dispatch_manifest", ds=before) as attempt:
        attempt.write(valid_rows("dispatch_manifest", 2), "part-0000.parquet", keys=keys)
        attempt.publish(inputs=[pending], params={"held_back": ["sale"]})
    write(night, "decisions", valid_rows("decisions", 3), before)  # made again, and never emitted
    inputs = find_inputs(night, DS, 28)
    assert (inputs.previous, inputs.held) == (pending, ("sale",))


@pytest.mark.parametrize(
    "policy", [{"caps": [{"messages": 1, "days": 1}]}, {"caps": [{"messages": 9, "days": 60}]}]
)
def test_a_once_only_message_of_forty_days_ago_counts(night: Lake, policy: dict[str, object]) -> None:
    wanted = terms(policy, **ONCE)
    shard = load_shard(night, find_inputs(night, DS, days_needed(wanted, 28)), wanted, NO_FACTS, 0)
    _, outcome, _ = build(wanted, shard.people, shard.pairs, shard.past)
    got = np.array(shard.people.user_id, object)[shard.pairs.user[outcome == "already_intended"]].tolist()
    assert got == ["u0000001"]
    # Another campaign's message counts as long as a cap of all looks back, and is not even held after that.
    assert sorted(set(shard.past.campaign.to_pylist())) == (
        ["welcome"] if policy["caps"][0]["days"] == 1 else ["sale", "welcome"]
    )


def test_a_campaigns_own_cap_counts_as_far_back_as_it_says(night: Lake) -> None:
    for days, expected in ((90, ["u0000001"]), (30, [])):
        wanted = terms(caps=[{"messages": 1, "days": days}])
        shard = load_shard(night, find_inputs(night, DS, days_needed(wanted, 28)), wanted, NO_FACTS, 0)
        _, outcome, _ = build(wanted, shard.people, shard.pairs, shard.past)
        assert (
            np.array(shard.people.user_id, object)[shard.pairs.user[outcome == "capped"]].tolist() == expected
        )


@pytest.mark.parametrize(("first", "last"), [("2026-11-15", "2026-11-15"), ("2026-11-16", None)])
def test_a_material_goes_on_its_own_days_only(night: Lake, first: str, last: str | None) -> None:
    """A night touches three local days: the offer of one of them must not go out on another."""
    offer = {"kind": "material", "id": "hello", "template": "t", "valid_from": first, "valid_until": last}
    facts, wanted = material_facts({"hello": parse_document(offer)}), terms()
    shard = load_shard(night, find_inputs(night, DS, 28), wanted, facts, 0)
    problem, _, _ = build(wanted, shard.people, shard.pairs, shard.past)
    dates = local_grid(shard.people.timezone, wanted.slots()).date
    own = dates >= np.datetime64(first) if last is None else dates == np.datetime64(first)
    assert own.any()
    assert not own.all()
    assert np.array_equal(problem.allowed, own[problem.pair_user])


def test_what_the_intake_will_send_leaves_no_room(night: Lake) -> None:
    at = datetime(2026, 11, 15, 20, tzinfo=UTC)
    pending = [
        {"message_id": message_id("sale", f"u{i:07d}", "i"), "user_id": f"u{i:07d}", "campaign_id": "sale",
         "is_sent": False, "at_ts": at}
        for i in (2, 9)
    ]  # fmt: skip
    write(night, "intake_pending", rows("intake_pending", pending))
    wanted = terms({"caps": [{"messages": 1, "days": 1}]})
    inputs = find_inputs(night, DS, days_needed(wanted, 28))
    assert inputs.all()[-1].dataset == "intake_pending"
    shard = load_shard(night, inputs, wanted, NO_FACTS, 0)
    _, outcome, _ = build(wanted, shard.people, shard.pairs, shard.past)
    capped = np.array(shard.people.user_id, object)[shard.pairs.user[outcome == "capped"]].tolist()
    assert capped == ["u0000002"]


def test_a_block_of_people_is_loaded_as_in_its_shard(night: Lake) -> None:
    wanted = terms({"caps": [{"messages": 9, "days": 60}]}, **ONCE)
    inputs = find_inputs(night, DS, days_needed(wanted, 28))
    whole, part = (
        load_shard(night, inputs, wanted, NO_FACTS, 0, blocks) for blocks in (None, Blocks((0,), 1))
    )
    assert part.people.ordinal.tolist() == [0, 1]
    own = whole.pairs.user < 2
    assert part.pairs.user.tolist() == whole.pairs.user[own].tolist()
    assert part.pairs.p_open.tolist() == whole.pairs.p_open[own].tolist()
    assert part.people.curves.tolist() == whole.people.curves[:2].tolist()
    assert (part.past.user.tolist(), part.past.campaign.to_pylist()) == ([1, 1], ["welcome", "sale"])
    assert load_shard(night, inputs, wanted, NO_FACTS, 0, Blocks((1,), 1)).past.user.tolist() == []


def test_what_clients_owe_by_a_template_uses_no_room(night: Lake) -> None:
    at = datetime(2026, 11, 14, 9, tzinfo=UTC)
    sent = [push("transactional__order", 2, "i", at), push("marketing__order", 3, "i", at)]
    write(night, "user_pushes", rows("user_pushes", sent))
    wanted = terms({"caps": [{"messages": 1, "days": 3}]})
    shard = load_shard(night, find_inputs(night, DS, days_needed(wanted, 28)), wanted, NO_FACTS, 0)
    _, outcome, _ = build(wanted, shard.people, shard.pairs, shard.past)
    capped = np.array(shard.people.user_id, object)[shard.pairs.user[outcome == "capped"]].tolist()
    assert capped == ["u0000003"]


def test_the_scores_doubt_decides_how_much_is_tried(night: Lake) -> None:
    scores = [
        {"ordinal": i, "campaign_id": "welcome", "material_id": name, "p_open": p}
        for i in range(4)
        for name, p in (("bye", 0.06), ("hello", 0.1))
    ]
    wanted = terms(materials=["bye", "hello"])
    tried = []
    for meta in ({}, {"doubt": {"bye": 0.2, "hello": 0.2}}, {"doubt": {"hello": 0.2}}):
        with night.attempt("material_scores", ds=DS) as attempt:
            attempt.write(rows("material_scores", scores), "part-0000.parquet", conform=False, shards=(0, 0))
            attempt.publish(meta=meta)
        shard = load_shard(night, find_inputs(night, DS, 28), wanted, NO_FACTS, 0)
        best = np.array([name == "hello" for name in shard.material])
        tried.append(float(np.where(best, 1.0 - shard.material_propensity, shard.material_propensity)[0]))
    assert tried[1] == pytest.approx(0.2 * tried[0])
    assert tried[2] == pytest.approx(tried[0])  # nothing is known of `bye` yet


def by_another_processor(table: pa.Table, *names: str) -> pa.Table:
    """Return a table whose fractions differ in the last place, up and down in turn."""
    for name in names:
        column = table[name].combine_chunks()
        is_list = not pa.types.is_floating(column.type)
        flat = (column.flatten() if is_list else column).to_numpy().copy()
        flat[::2], flat[1::2] = np.nextafter(flat[::2], 9.0), np.nextafter(flat[1::2], 0.0)
        values = pa.array(flat)
        if is_list:
            values = pa.FixedSizeListArray.from_arrays(values, 24).cast(column.type)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    return table


def test_last_places_of_scores_and_curves_change_nothing(night: Lake) -> None:
    wanted = terms()

    def problem_now() -> list[np.ndarray]:
        inputs = find_inputs(night, DS, days_needed(wanted, 28))
        shard = load_shard(night, inputs, wanted, NO_FACTS, 0)
        problem, _, _ = build(wanted, shard.people, shard.pairs, shard.past)
        return [problem.value, shard.pairs.p_open, shard.material_propensity]

    before = problem_now()
    for name, columns in (("material_scores", ["p_open"]), ("send_times", ["workday", "day_off"])):
        table = night.read(night.require(name, ds=DS))
        other = by_another_processor(table, *columns)
        assert not other.equals(table)
        write(night, name, other)
    for old, new in zip(before, problem_now(), strict=True):
        assert np.array_equal(old, new)


def test_who_refuses_nothing_is_told_from_who_does() -> None:
    lists = pa.array([[], ["promo"], [], ["news", "promo"]], pa.list_(pa.string()))
    assert refused_topics(lists) == [set(), {"promo"}, set(), {"news", "promo"}]
    assert refused_topics(lists.slice(1, 2)) == [{"promo"}, set()]


def test_minutes_speeds_and_minimums_become_limits() -> None:
    budget = {"max_messages": 500, "min_messages": 200}
    (channel,), (campaign,) = terms().channels, terms(budget=budget, speed_limit_per_minute=3).campaigns
    assert channel.capacity_per_hour == 1000
    slow = catalog_of(
        [StoredDocument(parse_document(raw), 1) for raw in (POLICY, FCM | {"quota_per_minute": 7}, WELCOME)],
        (),
    )
    assert terms_of(slow, DS, 28, None).channels[0].capacity_per_hour == 360
    assert (campaign.max_per_hour, campaign.min_messages) == (120, 200)
    assert terms().campaigns[0].max_per_hour is None


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("per_minute", [1, 2, 7, 61, 600])
def test_what_is_planned_into_an_hour_can_leave_in_it(per_minute: int, workers: int) -> None:
    """The workers' own buckets are the witness, for a channel's quota and a campaign's speed."""
    slow = FCM | {"quota_per_minute": per_minute, "capacity_per_hour": 10**6}
    documents = (POLICY, slow, WELCOME | {"speed_limit_per_minute": per_minute})
    catalog = catalog_of([StoredDocument(parse_document(raw), 1) for raw in documents], ())
    night = terms_of(catalog, DS, 28, None, workers)
    left = 0
    for _ in range(workers):
        bucket, now = TokenBucket(per_minute / workers, 0), 0
        bucket.tokens = 0.0  # the hour before took what there was
        while now < 3_600_000_000:
            pause = bucket.take(now)
            left += not pause
            now += math.ceil(pause * 1e6)
    most = {night.channels[0].capacity_per_hour, night.campaigns[0].max_per_hour}
    assert most == {min(most)}
    assert left - 1 - workers <= min(most) <= left + workers, "the last ones leave seconds late"


def test_a_campaign_that_asks_is_worth_its_lift(night: Lake) -> None:
    scores = [
        {"ordinal": i, "campaign_id": "welcome", "material_id": "hello", "p_open": 0.1, "lift": lift}
        for i, lift in enumerate([0.5, None, -0.25, 0.0])
    ]
    write(night, "material_scores", rows("material_scores", scores))
    for asked, expected in ((None, None), ({"model": "moved", "value": 2.0}, [1e6, 0, -5e5, 0])):
        wanted = terms(uplift=asked)
        shard = load_shard(night, find_inputs(night, DS, 28), wanted, NO_FACTS, 0)
        assert (None if shard.pairs.lift is None else shard.pairs.lift.tolist()) == expected
