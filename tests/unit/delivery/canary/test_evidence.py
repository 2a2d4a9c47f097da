"""What became of a canary: each message once, by the best that is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.canary.evidence import CanaryEvidence
from angelia.delivery.canary.verdict import CanaryFacts, CanaryRule
from angelia.lake import Lake
from tests.unit.delivery.canary.planned import CAMPAIGN, CANARY, REST, RULE, come_back, message_of, plan
from tests.unit.delivery.given import DS

RULES = {CAMPAIGN: CanaryRule.of(RULE)}
AT = datetime(2026, 11, 15, 4, 5, tzinfo=UTC)


def account(lake: Lake, part: str, *rows: tuple[str, str, str | None], at: datetime | None = AT) -> None:
    """Commit rows of the ledger: (person, outcome, reason)."""
    made = [
        {
            "dispatch_id": f"{i:032x}", "message_id": message_of(user), "user_id": user,
            "campaign_id": CAMPAIGN, "material_id": "m", "channel": "fcm", "outcome": outcome,
            "reason": reason, "provider_id": None,
            "sent_ts": at, "n_attempts": 1, "payload_sha256": None,
        }
        for i, (user, outcome, reason) in enumerate(rows)
    ]  # fmt: skip
    table = pa.Table.from_pylist(made, schema=arrow.schema(dataset("delivery_ledger")))
    with lake.attempt("delivery_ledger", ds=DS, send_hour="2026-11-15T04", part=part) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish(params={"rows": len(made)})


@pytest.fixture
def planned(lake: Lake) -> Lake:
    plan(lake)
    return lake


def test_nothing_is_known_before_anything_left(planned: Lake) -> None:
    assert CanaryEvidence(planned, DS).facts(RULES)[CAMPAIGN] == CanaryFacts(planned=10)
    assert CanaryEvidence(planned, "2026-11-13").facts(RULES)[CAMPAIGN] == CanaryFacts()


def test_each_message_counts_once_by_the_best_of_it(planned: Lake) -> None:
    a, b, c, d, e, f, g, h = CANARY[:8]
    account(
        planned, "fcm.medium.0000",
        (a, "accepted", None), (b, "rejected", "PAYLOAD"), (c, "rejected", "gone:UNREGISTERED"),
        (d, "rejected", "opted_out:21610"), (e, "skipped", "suppressed"), (f, "deferred", "canary_waits"),
        (g, "ambiguous", "no_answer"), (h, "rejected", "address_gone"),
        *((user, "rejected", "PAYLOAD") for user in REST),
    )  # fmt: skip
    account(planned, "sms.medium.0000.abc", (c, "accepted", None))  # it fell over
    facts = CanaryEvidence(planned, DS).facts(RULES)[CAMPAIGN]
    first = round(AT.timestamp() * 1e6)
    assert facts == CanaryFacts(10, settled=7, answered=3, rejected=1, refused=1, opened=0, first_sent=first)


def test_opens_of_programs_and_of_the_rest_are_left_out(planned: Lake) -> None:
    account(planned, "fcm.medium.0000", *((user, "accepted", None) for user in CANARY))
    come_back(planned, "opened", CANARY[0], REST[0])
    come_back(planned, "unsubscribed", CANARY[1], REST[1])
    with_machines = CanaryEvidence(planned, DS).facts(RULES)[CAMPAIGN]
    assert (with_machines.opened, with_machines.refused) == (1, 1)
    come_back(planned, "displayed", CANARY[2])
    assert CanaryEvidence(planned, DS).facts(RULES)[CAMPAIGN] == with_machines


def test_a_leaf_is_read_again_once_it_changed(planned: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, read = CanaryEvidence(planned, DS), list[str]()
    original = Lake.read

    def noting(self: Lake, commit: Any, *given: Any, **named: Any) -> Any:
        read.append(commit.ref)
        return original(self, commit, *given, **named)

    monkeypatch.setattr(Lake, "read", noting)
    account(planned, "fcm.medium.0000", (CANARY[0], "deferred", "HTTP_500"))
    assert evidence.facts(RULES)[CAMPAIGN].settled == 0
    evidence.facts(RULES)
    assert len(read) == 1
    account(planned, "fcm.medium.0000", (CANARY[0], "accepted", None), (CANARY[1], "accepted", None))
    assert evidence.facts(RULES)[CAMPAIGN].settled == 2
    assert len(read) == 2
