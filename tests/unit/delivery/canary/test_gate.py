"""The rest is sent to once the canary went well, and never if it did not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from angelia.delivery.canary.gate import EVIDENCE_AGE_US, CanaryGate
from angelia.delivery.canary.verdict import CanaryRule
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from angelia.transport.wire import Answer
from tests.unit.delivery.canary.planned import (
    BOTH,
    CAMPAIGN,
    CANARY,
    LATER,
    REST,
    RULE,
    come_back,
    decide,
    documents_with,
    plan,
)
from tests.unit.delivery.conftest import error
from tests.unit.delivery.given import DS, HOUR, stop


@pytest.fixture(autouse=True)
def rule(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the sample's campaign have a canary; what a test changes of it holds for its plan."""
    rule = dict(RULE)
    original = sample_plan.documents
    monkeypatch.setattr(sample_plan, "documents", lambda *given: documents_with(rule, original)(*given))
    return rule


def bad(_: int, message: dict[str, Any]) -> Answer:
    return error(400, "SENDER_ID_BROKEN")


def sent(bench: Any) -> int:
    return len(bench.wire.requests)


def reasons(bench: Any) -> Counter[Any]:
    return Counter((row["outcome"], row["reason"]) for row in bench.ledger().values())


def test_after_a_good_canary_the_rest_is_sent(bench: Any) -> None:
    plan(bench.lake)
    assert bench.deliver(hours=BOTH).to_json()["delivered"] == {"accepted": 20}


def test_after_a_bad_canary_the_rest_is_never_sent(bench: Any) -> None:
    plan(bench.lake)
    assert bench.deliver(bad, hours=BOTH).to_json()["delivered"] == {"rejected": 10, "skipped": 10}
    assert sent(bench) == 10
    assert reasons(bench)["skipped", "canary_failed"] == 10
    again = bench.deliver(hours=BOTH)
    assert (again.already_delivered, sent(bench)) == (20, 0)


def test_the_rest_waits_for_the_canary_and_goes_on(bench: Any) -> None:
    plan(bench.lake)
    result = bench.deliver(hours=(LATER,))
    assert (result.delivered, result.waiting, sent(bench)) == ({"deferred": 10}, 1, 0)
    assert reasons(bench)["deferred", "canary_waits"] == 10
    waits = bench.deliver(hours=(LATER,))
    assert (waits.waiting, waits.already_delivered, sent(bench)) == (1, 10, 0)
    assert bench.deliver(hours=BOTH).to_json()["delivered"] == {"accepted": 20}


@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        ("send", ("accepted", None)),
        ("expire", ("skipped", "canary_undecided")),
        ("ask", ("deferred", "canary_waits")),
    ],
)
def test_too_few_to_tell(bench: Any, rule: dict[str, Any], then: str, outcome: tuple[str, Any]) -> None:
    rule |= {"messages": 11, "then": then}
    plan(bench.lake)
    bench.deliver(hours=BOTH)
    assert reasons(bench)[outcome] == (20 if then == "send" else 10)


def test_a_person_lets_it_go_on(bench: Any, rule: dict[str, Any]) -> None:
    rule |= {"messages": 11, "then": "ask"}
    plan(bench.lake)
    assert bench.deliver(hours=BOTH).waiting == 1
    decide(bench.lake, "pass")
    assert bench.deliver(hours=BOTH).to_json()["delivered"] == {"accepted": 10}


def test_a_person_fails_what_is_left_of_the_canary_too(bench: Any) -> None:
    plan(bench.lake)
    decide(bench.lake, "fail")
    assert bench.deliver(hours=BOTH).to_json()["delivered"] == {"skipped": 20}
    assert sent(bench) == 0


def test_refusals_that_came_back_withhold_the_rest(bench: Any) -> None:
    plan(bench.lake)
    bench.deliver(hours=(HOUR,))
    come_back(bench.lake, "unsubscribed", *CANARY[:2])
    assert bench.deliver(hours=(LATER,)).to_json()["delivered"] == {"skipped": 10}
    assert sent(bench) == 0


def test_a_stop_ends_what_waits(bench: Any) -> None:
    plan(bench.lake)
    assert bench.deliver(hours=(LATER,)).waiting == 1
    stop(bench.lake)
    assert bench.deliver(hours=(LATER,)).to_json()["delivered"] == {"skipped": 10}
    assert reasons(bench)["skipped", "stopped"] == 10


def test_what_cannot_be_read_lets_nobody_follow(bench: Any) -> None:
    plan(bench.lake)
    bench.deliver(hours=(HOUR,))
    (leaf,) = bench.lake.partitions("delivery_ledger", ds=DS)
    (entry,) = bench.lake.require("delivery_ledger", **leaf).files
    whole = bench.lake.store.read(entry.path)
    bench.lake.store.put(entry.path, b"damaged")
    assert bench.deliver(hours=(LATER,)).waiting == 1
    bench.lake.store.put(entry.path, whole)
    assert bench.deliver(hours=(LATER,)).to_json()["delivered"] == {"accepted": 10}


def test_other_campaigns_do_not_wait(bench: Any) -> None:
    plan(bench.lake, campaign_id=lambda number: CAMPAIGN if number % 2 else "sale")
    assert bench.deliver(hours=(LATER,)).to_json()["delivered"] == {"accepted": 5, "deferred": 5}


def test_what_is_known_is_ten_minutes_old_at_most(lake: Lake) -> None:
    import asyncio

    plan(lake)
    now = [EVIDENCE_AGE_US * 2]
    gate = CanaryGate(lake, DS, lambda: now[0], lambda: 0)
    gate.watch({CAMPAIGN: CanaryRule.of(RULE)})
    assert not gate.is_fresh()
    asyncio.run(gate.refresh())
    assert gate.is_fresh()
    assert gate.waits(CAMPAIGN)
    now[0] += EVIDENCE_AGE_US
    assert gate.is_fresh()
    now[0] += 1
    assert not gate.is_fresh()
    assert gate.members([CAMPAIGN, "sale", CAMPAIGN], [CANARY[0], CANARY[0], REST[0]]) == [True, None, False]
    assert gate.members(["sale"], ["u"]) is None
