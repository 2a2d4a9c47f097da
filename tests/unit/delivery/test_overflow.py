"""What a channel that is off or spent leaves goes to the person's next channel, once.

The witness is the wire: each message leaves by one channel, and every row of the ledger has its outcome.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from angelia.delivery.channels import base, fcm
from angelia.delivery.ledger import ledger as ledger_module
from angelia.delivery.ledger.resend import resend
from angelia.delivery.manifest.parts import FALLOVER
from angelia.delivery.worker import settling
from angelia.transport.wire import Answer
from tests.unit.delivery.conftest import error
from tests.unit.delivery.given import DS, LOST, OK, START
from tests.unit.delivery.test_channel_changes import FCM, change
from tests.unit.delivery.test_fallover import plan, tokens

SPENT = error(429, "SPENT")
OFF = FCM | {"enabled": False}


@pytest.fixture(autouse=True)
def codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the provider have counts of the day, as phone makers do."""
    monkeypatch.setitem(fcm.ERRORS, "SPENT", base.SPENT)
    monkeypatch.setitem(fcm.ERRORS, "FULL", base.FULL)


def counted(bench: Any) -> Counter[tuple[str, str, str | None]]:
    return Counter((row["channel"], row["outcome"], row["reason"]) for row in bench.ledger().values())


def accepted_messages(bench: Any) -> list[str]:
    return sorted(row["message_id"] for row in bench.ledger().values() if row["outcome"] == "accepted")


def spent_after(bench: Any, n: int) -> Any:
    """Return a script whose provider takes n messages a day; mail takes everything."""
    taken: list[str] = []

    def script(_: int, message: dict[str, Any]) -> Answer:
        if message["token"].startswith("mail"):
            return OK
        if len(taken) >= n:
            return SPENT
        taken.append(message["token"])
        return OK

    return script


def test_a_spent_quota_overflows_in_the_next_cycle(bench: Any) -> None:
    plan(bench.lake, 500)
    first = bench.deliver(spent_after(bench, 120))
    assert "count of the day is used up" in first.halted["fcm"]
    assert len(bench.wire.requests) <= 120 + 50, "only what was under way is refused"
    second = bench.deliver(spent_after(bench, 0))
    assert second.delivered == {"accepted": 380}
    assert all(token.startswith("mail") for token in tokens(bench))
    rows = counted(bench)
    assert (rows["fcm", "accepted", None], rows["email", "accepted", None]) == (120, 380)
    assert {key[:2] for key in rows} == {("fcm", "accepted"), ("fcm", "skipped"), ("email", "accepted")}
    messages = accepted_messages(bench)
    assert len(messages) == len(set(messages)) == 500, "none lost, none doubled"
    assert bench.deliver().delivered == {}


def test_without_another_channel_rows_wait_for_their_own(bench: Any) -> None:
    plan(bench.lake, 6, mail={4: None, 5: "refused"})
    bench.deliver(spent_after(bench, 0))
    assert len(bench.wire.requests) >= 1
    again = bench.deliver(spent_after(bench, 1))
    assert again.unfinished == 1, "one of two is still waiting for the provider"
    assert counted(bench)["fcm", "deferred", "quota:SPENT"] == 1
    assert bench.deliver().delivered["accepted"] == 1
    assert len(set(accepted_messages(bench))) == len(accepted_messages(bench)) == 6


def test_a_receivers_own_count_moves_that_row_only(bench: Any) -> None:
    plan(bench.lake, 10)
    full = error(400, "FULL")
    bench.deliver(lambda _, message: full if message["token"].startswith("sandbox-00000003") else OK)
    assert bench.deliver().delivered == {"accepted": 1}
    assert tokens(bench) == ["mail-3"]
    assert counted(bench)["fcm", "rejected", "quota:FULL"] == 1


def test_rows_of_a_channel_switched_off_move_too(bench: Any) -> None:
    plan(bench.lake, 250)
    change(bench.lake, 2, OFF)
    first = bench.deliver()
    assert (bench.wire.requests, list(first.halted)) == ([], ["fcm"])
    assert bench.deliver().delivered == {"accepted": 250}
    assert counted(bench) == {
        ("fcm", "skipped", "channel_off"): 250,
        ("email", "accepted", None): 250,
    }


def test_a_channel_that_is_off_is_passed_over(bench: Any) -> None:
    plan(bench.lake, 3, route=["fcm", "email", "webhook"])
    change(bench.lake, 2, FCM | {"id": "email", "enabled": False}, "email")
    bench.deliver(spent_after(bench, 0))
    bench.deliver()
    assert [token.split("-")[0] for token in tokens(bench)] == ["hook"] * 3


def test_what_may_have_arrived_never_overflows(bench: Any) -> None:
    plan(bench.lake, 40)
    answers = iter([LOST] * 3)
    bench.deliver(lambda *_: next(answers, SPENT))
    bench.deliver()
    rows = counted(bench)
    assert rows["fcm", "ambiguous", "no_answer"] == 3
    assert rows["email", "accepted", None] == 37


@pytest.mark.parametrize("broken", ["move_on", "follow_up"])
def test_a_worker_that_dies_while_moving_doubles_none(
    broken: str, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after the fall-over's commit: before its rows are marked, or followed up."""
    plan(bench.lake, 30)

    def die(*_: Any) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as dying:
        owner = ledger_module.Ledger if broken == "move_on" else settling
        dying.setattr(owner, broken, die)
        with pytest.raises(RuntimeError, match="power cut"):
            bench.deliver(spent_after(bench, 10))
    # The provider takes messages again: what was handed on must not leave by both.
    bench.deliver(takeover=True)
    bench.deliver(takeover=True)
    messages = accepted_messages(bench)
    assert len(messages) == len(set(messages)) == 30
    (leaf,) = bench.lake.partitions(FALLOVER, ds=DS)
    assert bench.lake.require(FALLOVER, **leaf).number == 1


def test_resend_leaves_what_has_moved_to_its_channel(bench: Any) -> None:
    plan(bench.lake, 5)
    bench.deliver(spent_after(bench, 2))
    now = int(START.timestamp() * 1e6)
    counts = resend(bench.lake, [DS], ["price_drop"], now, now)
    assert counts["campaigns"]["price_drop"]["fell_over"] == 3
    bench.deliver()
    assert resend(bench.lake, [DS], ["price_drop"], now, now)["resent"] == 0
