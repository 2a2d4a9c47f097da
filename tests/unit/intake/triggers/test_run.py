"""Events become messages once, unless they are moot or of somebody else."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.manifest.parts import INTAKE
from angelia.intake.dispatching import sample_night
from angelia.intake.erasing import IntakePeople
from angelia.intake.triggers.run import CLIENT
from angelia.intake.triggers.waiting import Waiting
from tests.unit.intake.dispatching import NIGHT, Bench, bench
from tests.unit.intake.triggers.setting import (
    LEFT,
    MINUTE,
    T,
    arrive,
    documents,
    index,
    messages,
    run,
    users,
)

__all__ = ["bench"]


def test_left_a_cart_and_bought_nothing(shop: Bench) -> None:
    arrive(shop.lake, (0, "cart", T), (1, "cart", T), (1, "purchase", T + 30 * MINUTE), (2, "view", T))
    early = run(shop, T + 59 * MINUTE)
    assert (early.events, dict(early.outcomes)) == (2, {})
    report = run(shop, T + 60 * MINUTE)
    assert report.outcomes == {"handed_over": 1, "moot": 1}
    (message,) = messages(shop)
    assert message["user_id"] == sample_night.user(0)
    assert message["send_us"] == T + 60 * MINUTE
    assert json.loads(message["variables"]) == {"event_item": "camera"}
    shop.dispatch()
    assert shop.states([message["id"]], CLIENT) == ["sent"]
    assert len(shop.wire.sent) == 1


def test_late_and_repeated_events_count_once(shop: Bench) -> None:
    arrive(shop.lake, (0, "cart", T))
    run(shop, T + 61 * MINUTE)
    assert run(shop, T + 61 * MINUTE).events == 0  # nothing arrived
    # The day is written anew with the same event in it, and one that comes late.
    arrive(shop.lake, (0, "cart", T), (3, "cart", T - MINUTE), keep=False, name="again")
    assert run(shop, T + 62 * MINUTE).events == 1
    assert users(shop) == [sample_night.user(0), sample_night.user(3)]


def test_an_occurrence_has_one_message(shop: Bench) -> None:
    arrive(shop.lake, (0, "cart", T), (0, "cart", T + MINUTE))
    assert run(shop, T + 61 * MINUTE).outcomes == {"handed_over": 1, "occurrence_has_its_message": 1}
    assert len(messages(shop)) == 1


def test_two_runs_at_once_hand_over_once(shop: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(shop.lake, *((who, "cart", T) for who in range(4)))
    original, entered = Waiting.conclude, []

    def while_another_runs(self: Waiting, concluded: Any, *stage: int) -> None:
        if concluded and not entered:
            entered.append(True)
            run(shop, T + 61 * MINUTE)  # sees the same events as due, after this one made their messages
        original(self, concluded, *stage)

    monkeypatch.setattr(Waiting, "conclude", while_another_runs)
    run(shop, T + 61 * MINUTE)
    assert entered
    assert users(shop) == [sample_night.user(who) for who in range(4)]


def test_a_condition_that_cannot_be_asked_waits(bench: Bench) -> None:
    broken = LEFT | {"id": "broken", "trigger": {"event": "cart", "where": "in_list('gone')"}}
    bench.night(documents=documents(LEFT, broken))
    index(bench.lake)
    arrive(bench.lake, (0, "cart", T))
    report = run(bench, T + 61 * MINUTE)
    assert report.outcomes == {"handed_over": 1}
    (problem,) = report.problems
    assert problem.startswith("campaign broken: ")
    assert Waiting(bench.engine).counts("broken") == {"waiting": 1}


def test_what_is_too_old_sets_nothing_off(shop: Bench) -> None:
    old = T - LEFT["ttl_hours"] * 60 * MINUTE
    arrive(shop.lake, (0, "cart", old))
    assert run(shop, T + 60 * MINUTE).outcomes == {"too_old": 1}


def test_a_stopped_campaign_hands_nothing_over(shop: Bench) -> None:
    from tests.unit.delivery.given import stop

    stop(shop.lake, "left")
    arrive(shop.lake, (0, "cart", T))
    assert run(shop, T + 60 * MINUTE).outcomes == {"campaign_not_running": 1}


def test_who_buys_before_it_leaves_is_not_reminded(shop: Bench) -> None:
    arrive(shop.lake, (0, "cart", T), (1, "cart", T))
    run(shop, T + 60 * MINUTE)
    arrive(shop.lake, (0, "purchase", T + 65 * MINUTE))
    assert run(shop, T + 66 * MINUTE).outcomes == {"withdrawn": 1}
    assert [row["status"] for row in messages(shop)] == ["cancelled", "accepted"]
    assert Waiting(shop.engine).counts("left") == {"moot": 1, "handed_over": 1}
    shop.dispatch()
    assert len(shop.wire.sent) == 1
    arrive(shop.lake, (1, "purchase", T + 67 * MINUTE))
    assert run(shop, T + 68 * MINUTE).outcomes == {}  # it has left


def test_at_most_is_a_cap_of_the_campaign(bench: Bench) -> None:
    trigger = {"event": "cart", "at_most": {"messages": 1, "days": 7}}
    every = LEFT | {"trigger": trigger}
    bench.night(documents=documents(every, every | {"id": "other"}))
    index(bench.lake)
    bench.accept({"campaign_id": "left"})
    bench.dispatch()
    arrive(bench.lake, (0, "cart", T))
    assert run(bench, T).outcomes == {"handed_over": 2}
    bench.dispatch()
    states = {row["campaign_id"]: row["status"] for row in messages(bench)}
    assert states == {"left": "refused", "other": "sent"}
    (capped,) = [row["id"] for row in messages(bench) if row["campaign_id"] == "left"]
    assert bench.steps(capped, CLIENT) == [("refused", "capped")]


def test_consent_and_holdouts_are_asked_as_it_leaves(bench: Bench) -> None:
    given = documents(LEFT, LEFT | {"id": "held", "holdout_pct": 100.0})
    bench.night(documents=given, features={"opted_out_topics": [["promo"], *[[]] * 7]})
    index(bench.lake)
    arrive(bench.lake, (0, "cart", T), (1, "cart", T))
    run(bench, T + 60 * MINUTE)
    bench.dispatch()
    reasons = {
        (row["user_id"], row["campaign_id"]): bench.steps(row["id"], CLIENT)[-1] for row in messages(bench)
    }
    assert reasons[sample_night.user(0), "left"] == ("refused", "opted_out")
    assert reasons[sample_night.user(1), "held"] == ("refused", "holdout_campaign")
    assert len(bench.wire.sent) == 1


def test_materials_are_drawn_as_the_night_draws(bench: Bench) -> None:
    own = {"kind": "material", "template": "plain", "fields": {}}
    more = [{**own, "id": "good"}, {**own, "id": "bad"}]
    bench.night(documents=[*documents(LEFT | {"materials": ["good", "bad"]}), *more])
    index(bench.lake)
    scores = {
        "ordinal": [who for who in range(6) for _ in range(2)],
        "campaign_id": ["left"] * 12,
        "material_id": ["good", "bad"] * 6,
        "p_open": [0.5, 0.01] * 6,
        "lift": [None] * 12,
    }
    with bench.lake.attempt("material_scores", ds=NIGHT) as attempt:
        table = pa.table(scores, schema=arrow.schema(dataset("material_scores")))
        attempt.write(table, "part-0000.parquet", shards=(0, 0))
        attempt.publish(meta={"doubt": {"good": 1.0, "bad": 1.0}})
    arrive(bench.lake, *((who, "cart", T) for who in range(7)))
    run(bench, T + 60 * MINUTE)
    bench.dispatch()
    (leaf,) = bench.lake.partitions(INTAKE)
    sent = bench.lake.read(bench.lake.require(INTAKE, **leaf)).to_pylist()
    propensity = {row["user_id"]: (row["material_id"], row["material_propensity"]) for row in sent}
    # By inverse gap with a loss of .1: 1 / (2 + 10 x .98) for the worse one.
    chances = {round(chance, 6) for _, chance in propensity.values()}
    assert chances <= {0.5, round(1 / 11.8, 6), round(10.8 / 11.8, 6)}
    assert propensity[sample_night.user(6)][1] == 0.5  # was not scored
    assert [name for name, chance in propensity.values() if chance != 0.5].count("good") >= 4


def test_an_erased_person_sets_nothing_off(shop: Bench) -> None:
    arrive(shop.lake, (0, "cart", T), (0, "purchase", T - MINUTE))
    run(shop, T)
    people = IntakePeople(shop.engine)
    assert people.holds({sample_night.user(0)}) == {sample_night.user(0)}
    assert people.erase({sample_night.user(0): "erased-1"}) == {"intake_trigger_events": 1}
    assert people.holds({sample_night.user(0)}) == set()
    run(shop, T + 60 * MINUTE)
    assert messages(shop) == []


def test_without_triggers_nothing_fails_before_a_night(bench: Bench) -> None:
    assert run(bench, T).to_json() | {"seconds": 0} == {
        "new_events": 0,
        "outcomes": {},
        "dropped": {},
        "problems": [],
        "seconds": 0,
    }
    bench.night()  # no campaign of it waits for events, and there is no index
    arrive(bench.lake, (0, "cart", T))
    assert run(bench, T).events == 0
