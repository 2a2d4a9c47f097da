"""Due messages through the worker: sent once, and every step comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from angelia.delivery.manifest.parts import INTAKE
from angelia.effects.sources import find_sources
from angelia.intake.dispatching import dispatcher
from angelia.intake.dispatching.terms import DispatchTerms
from angelia.intake.message import Draft, Refusal, again, now
from angelia.intake.store import Accepted
from angelia.intake.tables import messages
from tests.unit.delivery.given import stop
from tests.unit.intake.dispatching import ORDER, Bench, bench, with_policy

__all__ = ["bench"]


def test_what_is_due_is_sent_once_and_says_so(bench: Bench) -> None:
    bench.night()
    sale, order = bench.accept(
        {"variables": {"item": "lamp", "unknown": 1}}, {**ORDER, "user_id": "u0000001", "priority": "high"}
    )
    report = bench.dispatch()
    assert bench.states([sale, order]) == ["sent", "sent"]
    assert bench.steps(sale) == [("queued", "fcm"), ("sent", "fcm")]
    titles = sorted(message["notification"]["title"] for message in bench.wire.sent)
    assert titles == ["About lamp", "About something"]
    assert report.steps["sent"] == 2
    assert bench.dispatch().batches == 0
    assert len(bench.wire.sent) == 2
    (ds,) = {leaf["ds"] for leaf in bench.lake.partitions("delivery_ledger")}
    assert len(bench.lake.partitions("delivery_ledger")) == 2
    # No plan is held to account for what came by REST.
    known = find_sources(bench.lake, ds, 28).commits
    assert (known["delivery_ledger"], known["push_receipts"]) == ((), ())
    assert len(bench.lake.partitions(INTAKE)) == report.batches


def test_what_is_due_behind_expired_messages_is_sent(bench: Bench) -> None:
    bench.night()
    *over, live = bench.accept({}, {}, {})
    with bench.engine.begin() as connection:
        ended = sa.update(messages).where(messages.c.id.in_(over)).values(expires_us=1, due_us=1)
        connection.execute(ended)
    bench.dispatch(batch_rows=2)
    assert bench.states([*over, live]) == ["expired", "expired", "sent"]


def test_each_refusal_is_counted_under_its_reason(bench: Bench) -> None:
    bench.night(
        4, features={"opted_out_topics": [[], ["promo"], [], []], "is_suppressed": [False] * 3 + [True]}
    )
    given = {
        "unknown_campaign": {"campaign_id": "nothing"},
        "other_class": {"class": "transactional"},
        "unknown_person": {"user_id": "nobody"},
        "opted_out": {"user_id": "u0000001"},
        "suppressed": {**ORDER, "user_id": "u0000003"},
        "unreachable": {"channels": ["sms"]},
        "variables_not_plain": {"variables": {"item": [1]}},
    }
    ids = bench.accept(*given.values())
    report = bench.dispatch()
    assert bench.states(ids) == ["refused"] * len(given)
    assert [bench.steps(message) for message in ids] == [[("refused", reason)] for reason in given]
    assert {f"refused: {reason}": 1 for reason in given} == dict(report.steps)
    assert bench.wire.sent == []
    assert bench.lake.partitions(INTAKE) == []


def test_a_transactional_message_passes_refused_topics(bench: Bench) -> None:
    bench.night(2, features={"opted_out_topics": [["promo"], ["promo"]]})
    ids = bench.accept(ORDER, {"user_id": "u0000001"})
    bench.dispatch()
    assert bench.states(ids) == ["sent", "refused"]


def test_a_stopped_campaign_fails_and_says_so(bench: Bench) -> None:
    bench.night()
    (message,) = bench.accept({})
    stop(bench.lake, "sale")
    bench.dispatch()
    assert bench.steps(message)[-1] == ("failed", "stopped")
    assert bench.wire.sent == []


def test_quiet_hours_put_a_message_off_until_they_end(bench: Bench) -> None:
    hour = datetime.now(UTC).hour
    quiet = {"start": hour, "end": (hour + 2) % 24}
    bench.night(documents=with_policy(quiet_hours=quiet))
    sale, order = bench.accept({}, ORDER)
    report = bench.dispatch()
    assert bench.states([sale, order]) == ["accepted", "sent"]
    assert bench.steps(sale) == [("postponed", "quiet_hours")]
    assert report.steps["postponed: quiet_hours"] == 1
    row = bench.store.get("shop", sale)
    assert row is not None
    assert datetime.fromtimestamp(row["due_us"] / 1e6, UTC).hour == quiet["end"]
    assert bench.store.cancel("shop", sale, row["due_us"] - 1)


def test_a_channel_that_is_shut_holds_its_messages_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real provider, which lacks its credentials
    bench.night()
    (message,) = bench.accept({})
    report = bench.dispatch()
    assert bench.states([message]) == ["queued"]
    assert list(report.halted) == ["fcm"]
    assert report.unfinished == 1
    assert bench.batches().waiting(0) == {"due": 0, "open_batches": 1}


def test_a_halted_channel_is_opened_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "SOURCES_S", 0.0)
    bench.night()

    async def openings() -> list[bool]:
        mine = dispatcher.Dispatcher(bench.lake, bench.batches(), DispatchTerms(), bench.codes)
        first = await mine._stand()
        well = await mine._stand() is first
        first.shared.senders.shut["fcm"] = "no credentials"
        shut = await mine._stand() is first
        monkeypatch.setattr(dispatcher, "REOPEN_S", 0.0)
        return [well, shut, await mine._stand() is first]

    assert asyncio.run(openings()) == [True, True, False]


def test_old_connections_end_with_the_dispatcher(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCES_S", "REOPEN_S"):
        monkeypatch.setattr(dispatcher, name, 0.0)
    bench.night()
    closed, close = list[object](), dispatcher.Senders.close

    async def noted(senders: dispatcher.Senders) -> None:
        closed.append(senders)
        await close(senders)

    monkeypatch.setattr(dispatcher.Senders, "close", noted)

    async def main() -> list[object]:
        mine = dispatcher.Dispatcher(bench.lake, bench.batches(), DispatchTerms(once=True), bench.codes)
        first = await mine._stand()
        first.shared.senders.shut["fcm"] = "no credentials"
        await mine.run()
        await asyncio.sleep(0)
        return [first.shared.senders]

    (old,) = asyncio.run(main())
    assert closed[-1] is old
    assert len(closed) == 2


def test_a_message_is_sent_again_once_if_it_may_be(bench: Bench) -> None:
    bench.night()
    ids = bench.accept({}, ORDER, {"user_id": "nobody"})
    rows = [bench.store.get("shop", message) for message in ids]
    assert [getattr(again(row or {}, now()), "code", "") for row in rows] == ["not_resendable"] * 3
    bench.dispatch()
    sale, order, nobody = (again(bench.store.get("shop", message) or {}, now()) for message in ids)
    assert isinstance(sale, Refusal)
    assert isinstance(order, Draft)
    assert isinstance(nobody, Draft)
    (first,), (second,) = (
        bench.store.accept([order]),
        bench.store.accept([replace(order, row=dict(order.row))]),
    )
    assert isinstance(first, Accepted)
    assert second == Accepted(first.id, first.accepted_us, True)
    bench.dispatch()
    assert bench.states([first.id]) == ["sent"]
    assert len(bench.wire.sent) == 3


def test_a_dispatcher_shares_its_home_s_pace(bench: Bench, tmp_path: Path) -> None:
    bench.night()
    bench.accept({})
    assert bench.dispatch(pace_folder=tmp_path).steps["sent"] == 1
    assert [file.name for file in tmp_path.glob("channel.*")] == ["channel.fcm"]
